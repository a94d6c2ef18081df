// ADRNN: what its layers preserve, the orders of its operators, the size of the released network, gradients.
import { type Tensor, full, manualSeed, models, randn, tensor, tidy, zeros } from '../../lib';
import { assign } from '../../lib/tensor/assign';
import { directionalError } from './network-gradients';

const float64 = { dtype: 'float64' } as const;
const ORDERS: models.ADROrder[] = ['adr', 'ard', 'dar', 'dra', 'rad', 'rda'];

beforeEach(() => manualSeed(3));

const maxDifference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();

function layer64(options?: models.ADRLayerOptions): models.ADRLayer {
  return new models.ADRLayer(3, options).to('float64');
}

/** Makes the velocity of a layer constant: hidden units that see their bias alone. */
function moveBy({ velocity }: models.ADRLayer, vx: number, vy: number): void {
  const hidden = velocity.last.shape[1]!;
  assign(velocity.first.weight, zeros(velocity.first.weight.shape, float64));
  assign(velocity.first.bias!, full([hidden], 1, float64));
  const unit = 1 / (1 + Math.exp(-1));
  const values = new Float64Array(velocity.last.size);
  for (let c = 0; c < hidden; c++) {
    values[c * 9 + 4] = vx / (unit * hidden);
    values[(hidden + c) * 9 + 4] = vy / (unit * hidden);
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
      moveBy(layer, 2, -1);
      const u = randn([1, 3, 8, 9], { ...float64, seed: 1 });
      const moved = u.roll([-1, 2], { dims: [2, 3] });
      expect(maxDifference(layer.forward(u), moved)).toBeLessThan(1e-9);
    }),
);

test('without motion and reaction a layer is its diffusion', () =>
  tidy(() => {
    const layer = layer64();
    withoutReaction(layer);
    moveBy(layer, 0, 0);
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
    moveBy(layer, 1, 2);
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

test('unknown options are refused', () => {
  const make = (options: object) => () => new models.ADRNN({ inChannels: 1, ...options });
  expect(make({ order: 'xyz' })).toThrow(/order must be one of adr/);
  expect(make({ splitting: 'marchuk' })).toThrow(/splitting must be one of lie, strang/);
  expect(make({ transport: 'energy' })).toThrow(/transport/);
  expect(make({ mode: 'none' })).toThrow(/mode must be/);
  expect(make({ velocity: 3 })).toThrow(/velocity/);
  expect(make({ mode: 'official' })).toThrow(/size must be \[height, width\]/);
  expect(make({ mode: 'official', size: [8, 8], order: 'adr' })).toThrow(/order/);
});

describe("mode 'official'", () => {
  const parametersOf = (model: models.ADRNN) =>
    model.parameters().reduce((sum, p) => sum + p.size, 0);

  /** As published: per layer two velocity nets and a 5x5 block; the opening block and the last 1x1. */
  const published = (i: number, o: number, c: number, layers: number, cells: number) => {
    const block = (from: number, k: number) => (from + c) * c * k * k + 2 * c + 2 * cells;
    const velocity = c * cells + block(c, 3) + (9 * c * c + c) + 2 * cells + 9 * c * c;
    return block(i, 3) + layers * (2 * velocity + block(c, 5)) + o * c;
  };

  test('has the published number of parameters', () => {
    expect(published(10, 10, 256, 9, 64 * 64)).toBe(91_844_096);
    const size = [6, 5] as const;
    const model = new models.ADRNN({
      mode: 'official',
      inChannels: 3,
      outChannels: 2,
      channels: 7,
      layers: 2,
      size,
    });
    expect(parametersOf(model)).toBe(published(3, 2, 7, 2, 30));
  });

  test('depends on the time where it is given', () =>
    tidy(() => {
      const net = new models.OfficialADRNet(1, 1, { size: [6, 6], channels: 3, layers: 1 });
      const x = randn([2, 1, 6, 6], { seed: 1 });
      for (const p of net.parameters()) assign(p, p.add(0.3));
      const at = (t: number) => net.forward(x, tensor([t, t]));
      expect(maxDifference(at(0), net.forward(x))).toBe(0);
      expect(maxDifference(at(1), at(0))).toBeGreaterThan(1e-6);
    }));
});

describe('gradients in float64', () => {
  const networks: [string, models.ADRNNOptions][] = [
    ...ORDERS.map((order): [string, models.ADRNNOptions] => [
      order,
      { inChannels: 2, channels: 4, layers: 2, hidden: 5, order },
    ]),
    ['strang', { inChannels: 2, channels: 4, layers: 1, splitting: 'strang' }],
    ['mass', { inChannels: 2, channels: 4, layers: 1, transport: 'mass', dt: 0.5 }],
    ['official', { mode: 'official', inChannels: 2, channels: 3, layers: 2, size: [7, 6] }],
  ];
  test.each(networks)('%s', (_, options) => {
    const model = new models.ADRNN(options).to('float64');
    // Away from the kinks of the interpolation at whole displacements.
    for (const [name, p] of model.namedParameters()) {
      if (name.endsWith('last')) assign(p, p.mul(3e3));
    }
    const x = randn([2, 2, 7, 6], { ...float64, seed: 5 });
    expect(directionalError(model, x)).toBeLessThan(1e-6);
  });
});

test('loads what it saved', () =>
  tidy(() => {
    const make = () => new models.ADRNN({ inChannels: 1, channels: 3, layers: 2 });
    const [a, b] = [make(), make()];
    b.loadStateDict(a.stateDict());
    const x = randn([1, 1, 8, 8], { seed: 1 });
    expect(maxDifference(a.forward(x), b.forward(x))).toBe(0);
  }));
