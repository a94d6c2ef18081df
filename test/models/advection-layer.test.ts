// The advection layer: rest, shifts, units, a velocity field from outside.
import { type Tensor, nn, randn, tensor, tidy } from '../../lib';
import { assign } from '../../lib/tensor/assign';

const maxDifference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();
const u = () => randn([2, 2, 6, 7], { seed: 1 });

test('starts at rest', () =>
  tidy(() => expect(maxDifference(new nn.Advection2d(2).forward(u()), u())).toBe(0)));

test.each(['color', 'mass'] as const)(
  '%s transport moves with the velocity of each channel',
  (transport) =>
    tidy(() => {
      const layer = new nn.Advection2d(2, {
        dt: 0.5,
        dx: 0.5,
        dy: 0.25,
        boundary: 'periodic',
        transport,
      });
      // Channel 0: one cell along x; channel 1: two cells back along y.
      assign(
        layer.velocity,
        tensor([
          [1, 0],
          [0, -1],
        ]),
      );
      const moved = layer.forward(u());
      const [a, b] = u().split(1, { dim: 1 });
      const [x, y] = moved.split(1, { dim: 1 });
      expect(maxDifference(x!, a!.roll(1, { dims: 3 }))).toBeLessThan(1e-6);
      expect(maxDifference(y!, b!.roll(-2, { dims: 2 }))).toBeLessThan(1e-6);
    }),
);

test('learns the velocity of a moving pattern', () =>
  tidy(() => {
    const layer = new nn.Advection2d(1, { boundary: 'periodic', interpolation: 'bicubic' });
    const wave = (shift: number) =>
      tensor(
        Float32Array.from({ length: 16 * 16 }, (_, i) =>
          Math.sin(((i % 16) - shift) * (Math.PI / 8)),
        ),
        { shape: [1, 1, 16, 16] },
      );
    for (let i = 0; i < 60; i++) {
      layer.zeroGrad();
      layer.forward(wave(0)).sub(wave(1.3)).pow(2).mean().backward();
      assign(layer.velocity, layer.velocity.detach().sub(layer.velocity.grad!.mul(4)));
    }
    expect(layer.velocity.dataSync()[0]).toBeCloseTo(1.3, 1);
  }));

test('a velocity field takes the place of the learned one', () =>
  tidy(() => {
    const layer = new nn.Advection2d(2, { boundary: 'periodic' });
    const field = randn([1, 2, 6, 7], { seed: 2 })
      .mul(0)
      .add(tensor([2, 0], { shape: [2, 1, 1] }));
    expect(maxDifference(layer.forward(u(), field), u().roll(2, { dims: 3 }))).toBeLessThan(1e-6);
  }));

test('refusals', () => {
  expect(() => new nn.Advection2d(2, { dt: 0 })).toThrow(/dt must be/);
  expect(() => new nn.Advection2d(0)).toThrow(/channels/);
  expect(() => new nn.MeshFreeConv2d(1, 1, { order: 3 as 2 })).toThrow(/order must be 1 or 2/);
  expect(() => new nn.MeshFreeConv2d(1, 1, { width: -1 })).toThrow(/width must be/);
});
