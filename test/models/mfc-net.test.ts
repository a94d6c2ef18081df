// Mesh-free networks: one operator on every mesh, comparison with 3x3 convolutions, gradients.
import { type Tensor, manualSeed, models, nn, randn, tensor, tidy } from '../../lib';
import { assign } from '../../lib/tensor/assign';
import { directionalError } from './network-gradients';

const float64 = { dtype: 'float64' } as const;

beforeEach(() => manualSeed(6));

/** A smooth periodic field on n x n cells at the points (i / n, j / n). */
function smooth(n: number): Tensor {
  const values = Float64Array.from({ length: n * n }, (_, k) => {
    const [y, x] = [(2 * Math.PI * Math.floor(k / n)) / n, (2 * Math.PI * (k % n)) / n];
    return Math.sin(x) + Math.cos(2 * y) + 0.5 * Math.sin(x + 3 * y);
  });
  return tensor(values, { shape: [1, 1, n, n] });
}

const coarse = (x: Tensor) => x.slice(2, 0, Infinity, 2).slice(3, 0, Infinity, 2);
const relative = (a: Tensor, b: Tensor) =>
  Math.sqrt(a.sub(b).pow(2).sum().item() / b.pow(2).sum().item());

test.each([1, 2] as const)('a layer of order %i is the same operator on two meshes', (order) =>
  tidy(() => {
    for (const gaussian of ['channel', 'pair'] as const) {
      const layer = new nn.MeshFreeConv2d(1, 4, { order, gaussian, width: 0.05 }).to('float64');
      const forward = (x: Tensor) => layer.forward(x);
      expect(relative(coarse(forward(smooth(32))), forward(smooth(16)))).toBeLessThan(1e-12);
    }
  }),
);

test('a network of mesh-free convolutions nearly is, one of 3x3 convolutions is not', () =>
  tidy(() => {
    const gap = (convolution: models.SpatialConvolution) => {
      manualSeed(6);
      const model = new models.MFCNet({ channels: 8, convolution }).to('float64');
      return relative(coarse(model.forward(smooth(64))), model.forward(smooth(32)));
    };
    expect(gap('mesh-free')).toBeLessThan(0.02);
    expect(gap('3x3')).toBeGreaterThan(5 * gap('mesh-free'));
  }));

test('noise on finer meshes: two meshes agree ever better with mesh-free layers, never with 3x3 ones', () => {
  // Mean square difference of coarse values of the fine result and the result of coarse values, for unit noise.
  const differences = (layer: nn.Layer) =>
    [32, 64, 128].map((n) =>
      tidy(() => {
        const u = randn([4, 2, n, n], { ...float64, seed: n });
        return coarse(layer.forward(u))
          .sub(layer.forward(coarse(u)))
          .pow(2)
          .mean()
          .item();
      }),
    );
  const free = differences(new nn.MeshFreeConv2d(2, 2, { width: 1 / 16 }).to('float64'));
  const stencil = differences(new nn.Conv2d(2, 2, 3, { padding: 1 }).to('float64'));
  for (const [a, b] of [free.slice(0, 2), free.slice(1)]) {
    // h^2 in two dimensions.
    expect(b! / a!).toBeLessThan(0.35);
    expect(b! / a!).toBeGreaterThan(0.15);
  }
  expect(stencil[2]! / stencil[0]!).toBeGreaterThan(0.8);
});

test.each(['mesh-free', '3x3'] as const)('networks of %s convolutions in both precisions', (kind) =>
  tidy(() => {
    const t = tensor([0.3, 0.9]);
    const x = randn([2, 1, 16, 16], { seed: 3 });
    const options = { convolution: kind, time: true };
    for (const model of [
      new models.MFCNet({ channels: 4, ...options }),
      new models.MFCUNet({ channels: [4, 8], groups: 2, ...options }),
    ]) {
      for (const p of model.close.parameters()) assign(p, randn(p.shape, { seed: p.size }));
      const single = model.forward(x, t);
      expect(single.dtype).toBe('float32');
      model.to('float64');
      const double = model.forward(x.to('float64'), t.to('float64'));
      expect(double.dtype).toBe('float64');
      expect(relative(single.to('float64'), double)).toBeLessThan(1e-5);
    }
  }),
);

test.each([
  ['mesh-free', false],
  ['mesh-free', true],
  ['3x3', true],
] as const)('gradients of a %s network in float64, time: %s', (convolution, time) => {
  const model = new models.MFCNet({ channels: 3, blocks: 2, convolution, time }).to('float64');
  const t = tensor([0.2, 0.7], float64);
  const timed = Object.assign(Object.create(model) as models.MFCNet, {
    forward: (x: Tensor) => model.forward(x, time ? t : undefined),
  });
  expect(directionalError(timed, randn([2, 1, 6, 8], { ...float64, seed: 2 }))).toBeLessThan(1e-6);
});

describe('the U-Net', () => {
  const small = { channels: [4, 6], groups: 2 };

  test.each([
    ['mesh-free', false],
    ['mesh-free', true],
    ['3x3', true],
  ] as const)('gradients with %s convolutions in float64, time: %s', (convolution, time) => {
    const model = new models.MFCUNet({ ...small, convolution, time }).to('float64');
    // The last layer starts at 0, behind which nothing is seen.
    for (const p of model.close.parameters()) {
      assign(p, randn(p.shape, { ...float64, seed: p.size }));
    }
    const t = tensor([0.2, 0.7], float64);
    const timed = Object.assign(Object.create(model) as models.MFCUNet, {
      forward: (x: Tensor) => model.forward(x, time ? t : undefined),
    });
    const x = randn([2, 1, 6, 8], { ...float64, seed: 2 });
    expect(directionalError(timed, x)).toBeLessThan(1e-6);
  });

  test('starts at 0 and takes every size that can be halved', () =>
    tidy(() => {
      const model = new models.MFCUNet({ ...small, inChannels: 2, outChannels: 3 });
      const y = model.forward(randn([1, 2, 10, 4]));
      expect(y.shape).toEqual([1, 3, 10, 4]);
      expect(y.abs().max().item()).toBe(0);
      expect(() => model.forward(randn([1, 2, 9, 4]))).toThrow(
        /multiples of 2, got \[1, 2, 9, 4\]/,
      );
      expect(() => new models.MFCUNet({ channels: [5] })).toThrow(/multiples of groups = 8/);
    }));
});

test('time must be given where the network has it', () => {
  const x = randn([1, 1, 4, 4]);
  const make = (time: boolean) => new models.MFCNet({ channels: 2, time });
  expect(() => make(true).forward(x)).toThrow(/t must be given/);
  expect(() => make(false).forward(x, tensor([1]))).toThrow(/t must be absent/);
  expect(() => new models.MFCNet({ convolution: '5x5' as '3x3' })).toThrow(/convolution must be/);
});
