// The layers of ADRNN 'split': what they preserve, their transports and velocities, the orders of their operators.
import {
  type Tensor,
  cat,
  full,
  interpolate,
  manualSeed,
  models,
  randn,
  tensor,
  tidy,
  zeros,
} from '../../lib';
import { assign } from '../../lib/tensor/assign';

const float64 = { dtype: 'float64' } as const;
const ORDERS: models.ADROrder[] = ['adr', 'ard', 'dar', 'dra', 'rad', 'rda'];

beforeEach(() => manualSeed(3));

const maxDifference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();

function layer64(options?: models.ADRLayerOptions): models.ADRLayer {
  return new models.ADRLayer(3, options).to('float64');
}

/** Makes the velocities of a layer constant, (x, y) of each: hidden units that see their bias alone. */
function moveBy({ velocity }: models.ADRLayer, components: readonly number[]): void {
  const hidden = velocity.last.shape[1]!;
  assign(velocity.first.weight, zeros(velocity.first.weight.shape, float64));
  assign(velocity.first.bias!, full([hidden], 1, float64));
  const unit = 1 / (1 + Math.exp(-1));
  const values = new Float64Array(velocity.last.size);
  for (let c = 0; c < hidden; c++) {
    components.forEach((v, i) => (values[(i * hidden + c) * 9 + 4] = v / (unit * hidden)));
  }
  assign(velocity.last, tensor(values, { shape: velocity.last.shape }));
}

/** Takes the reaction away. */
function withoutReaction({ step }: models.ADRLayer): void {
  for (const p of step.second.parameters()) assign(p, zeros(p.shape, float64));
}

const still = { diffusionOptions: { initial: 1e-13 } };

test.each(['color', 'mass'] as const)(
  '%s transport by whole cells is an exact shift',
  (transport) =>
    tidy(() => {
      const layer = layer64({ transport, ...still, advectionBoundary: 'periodic' });
      withoutReaction(layer);
      moveBy(layer, [2, -1]);
      const u = randn([1, 3, 8, 9], { ...float64, seed: 1 });
      const moved = u.roll([-1, 2], { dims: [2, 3] });
      expect(maxDifference(layer.forward(u), moved)).toBeLessThan(1e-9);
    }),
);

describe.each(['zeros', 'border', 'reflect', 'periodic'] as const)('advection, %s', (boundary) => {
  const u = () => randn([2, 4, 7, 6], { ...float64, seed: 1 });

  test.each([1, 2, 4])('no velocity is the identity, %i velocities', (velocities) =>
    tidy(() => {
      for (const transport of ['color', 'mass'] as const) {
        const options = { transport, velocities, advectionBoundary: boundary, ...still };
        const layer = new models.ADRLayer(4, options).to('float64');
        withoutReaction(layer);
        assign(layer.velocity.last, zeros(layer.velocity.last.shape, float64));
        expect(maxDifference(layer.forward(u()), u())).toBeLessThan(1e-11);
      }
    }),
  );

  test('gathering and splatting are adjoint', () =>
    tidy(() => {
      const { step } = new models.ADRLayer(4, { advectionBoundary: boundary }).to('float64');
      const way = randn([2, 2, 7, 6], { ...float64, seed: 2 }).mul(3);
      const y = randn([2, 4, 7, 6], { ...float64, seed: 3 });
      const gathered = step.advect(u(), way, 'color').mul(y).sum().item();
      const splatted = step.advect(y, way, 'mass').mul(u()).sum().item();
      expect(Math.abs(gathered - splatted)).toBeLessThan(1e-12 * Math.abs(gathered) + 1e-12);
    }));
});

test.each(['color', 'mass'] as const)('%s transport with two velocities', (transport) =>
  tidy(() => {
    const options = { transport, velocities: 2, advectionBoundary: 'periodic', ...still } as const;
    const layer = new models.ADRLayer(4, options).to('float64');
    withoutReaction(layer);
    moveBy(layer, [2, -1, 0, 3]);
    const u = randn([2, 4, 8, 9], { ...float64, seed: 1 });
    const [a, b] = u.split(2, { dim: 1 });
    const moved = [a!.roll([-1, 2], { dims: [2, 3] }), b!.roll(3, { dims: 2 })];
    expect(maxDifference(layer.forward(u), cat(moved, { dim: 1 }))).toBeLessThan(1e-9);
    expect(layer.displacement(u).shape).toEqual([2, 2, 2, 8, 9]);
  }),
);

test('groups start in directions of their own', () =>
  tidy(() => {
    const options = { velocities: 4, initialSpeed: 2, advectionBoundary: 'periodic' } as const;
    const layer = new models.ADRLayer(4, { ...options, ...still }).to('float64');
    withoutReaction(layer);
    assign(layer.velocity.last, zeros(layer.velocity.last.shape, float64));
    const u = randn([1, 4, 8, 9], { ...float64, seed: 1 });
    const ways: [number, number][] = [
      [0, 2],
      [2, 0],
      [0, -2],
      [-2, 0],
    ];
    const moved = ways.map((way, g) => u.slice(1, g, g + 1).roll(way, { dims: [2, 3] }));
    expect(maxDifference(layer.forward(u), cat(moved, { dim: 1 }))).toBeLessThan(1e-6);
    expect(layer.velocity.parameters()).toContain(layer.velocity.bias);
  }));

test('a velocity network on a coarser mesh sees means and gives a smooth velocity', () =>
  tidy(() => {
    const layer = layer64({ velocityScale: 4 });
    assign(layer.velocity.last, layer.velocity.last.mul(1e4));
    const u = randn([1, 3, 16, 12], { ...float64, seed: 1 });
    const way = layer.displacement(u);
    expect(way.shape).toEqual([1, 2, 16, 12]);
    const means = interpolate(u.avgPool2d(4), { scaleFactor: 4, mode: 'nearest' });
    expect(maxDifference(layer.displacement(means), way)).toBeLessThan(1e-12);
    expect(() => layer.forward(zeros([1, 3, 16, 10], float64))).toThrow(/multiples of the scale 4/);
  }));

test('a normalised layer reads the pattern of a field, not its size', () =>
  tidy(() => {
    const layer = layer64({ normalize: true });
    assign(layer.velocity.last, layer.velocity.last.mul(1e4));
    const u = randn([1, 3, 9, 8], { ...float64, seed: 1 });
    const [way, larger] = [layer.displacement(u), layer.displacement(u.mul(1e3))];
    expect(maxDifference(way, larger)).toBeLessThan(1e-3);
    const change = (x: Tensor) => layer.step.react(x).sub(x);
    expect(maxDifference(change(u), change(u.mul(1e3)))).toBeLessThan(1e-3);
  }));

test('a reaction with a larger kernel sees neighbours', () =>
  tidy(() => {
    const layer = layer64({ kernelSize: 3 });
    const u = zeros([1, 3, 7, 7], float64);
    const lit = u.add(tensor([0, 0, 0, 1, 0, 0, 0], { shape: [7, 1], ...float64 }));
    const change = layer.step
      .react(lit)
      .sub(layer.step.react(u))
      .abs()
      .sum({ dim: [0, 1, 3] });
    const rows = [...change.dataSync()].map((value) => value > 0);
    expect(rows).toEqual([false, false, true, true, true, false, false]);
  }));

test('without motion and reaction a layer is its diffusion', () =>
  tidy(() => {
    const layer = layer64();
    withoutReaction(layer);
    moveBy(layer, [0, 0]);
    const u = randn([2, 3, 7, 6], { ...float64, seed: 1 });
    expect(maxDifference(layer.forward(u), layer.step.diffuse(u))).toBeLessThan(1e-14);
  }));

test('mass transport and diffusion keep the sum of a channel', () =>
  tidy(() => {
    const layer = layer64({
      transport: 'mass',
      advectionBoundary: 'periodic',
      splitting: 'strang',
    });
    withoutReaction(layer);
    assign(layer.velocity.last, layer.velocity.last.mul(1e4));
    const u = randn([2, 3, 7, 6], { ...float64, seed: 1 });
    const sums = (x: Tensor) => x.sum({ dim: [2, 3] });
    expect(maxDifference(sums(layer.forward(u)), sums(u))).toBeLessThan(1e-12);
    expect(maxDifference(layer.forward(u), u)).toBeGreaterThan(0.1);
  }));

test.each(['tridiagonal', 'spectral'] as const)('a step is its parts, %s', (solver) =>
  tidy(() => {
    const layer = layer64({ dt: 0.7, diffusionOptions: { solver } });
    assign(layer.velocity.last, layer.velocity.last.mul(1e4));
    const u = randn([2, 3, 9, 8], { ...float64, seed: 1 });
    const { step } = layer;
    const parts = step.react(step.diffuse(step.advect(u, layer.displacement(u))));
    expect(maxDifference(layer.forward(u), parts)).toBeLessThan(1e-12);
    expect(step.fuses(u, layer.displacement(u))).toBe(solver === 'tridiagonal');
  }),
);

describe('orders', () => {
  test('each is a step of its own', () =>
    tidy(() => {
      const u = randn([1, 3, 9, 8], { ...float64, seed: 1 });
      const results = ORDERS.map((order) => {
        manualSeed(3);
        const layer = layer64({ order });
        assign(layer.velocity.last, layer.velocity.last.mul(1e4));
        return layer.forward(u);
      });
      results.forEach((a, i) =>
        results.slice(0, i).forEach((b) => expect(maxDifference(a, b)).toBeGreaterThan(1e-4)),
      );
    }));

  // With a given velocity the six orders approximate the same flow: Lie to first order, Strang to second.
  const smooth = (n: number) =>
    tensor(
      Float64Array.from({ length: 3 * n * n }, (_, i) => {
        const [c, y, x] = [Math.floor(i / n / n), Math.floor(i / n) % n, i % n];
        return Math.sin((2 * Math.PI * (x + 1)) / n + c) + Math.cos((4 * Math.PI * y) / n);
      }),
      { shape: [1, 3, n, n] },
    );

  function march(options: models.ADRLayerOptions, steps: number): Tensor {
    manualSeed(3);
    const periodic = { boundary: 'periodic', scheme: 'crank-nicolson', initial: 2 } as const;
    const layer = layer64({
      ...options,
      dt: 8 / steps,
      diffusionOptions: periodic,
      advectionBoundary: 'periodic',
      activation: 'tanh',
    });
    for (const p of layer.step.first.parameters()) assign(p, p.mul(0.3));
    moveBy(layer, [1, 2]);
    let u = smooth(24);
    for (let i = 0; i < steps; i++) u = layer.forward(u);
    return u;
  }

  test('of Lie splitting differ less with smaller steps', () =>
    tidy(() => {
      const gap = (steps: number) =>
        maxDifference(march({ order: 'adr' }, steps), march({ order: 'rda' }, steps));
      // Whole cells in each step: no error of interpolation.
      expect(gap(4) / gap(8)).toBeGreaterThan(1.6);
    }));
});
