// ADRNN: what its layers preserve, the orders of its operators, the size of the released network, gradients.
import {
  type Tensor,
  cat,
  full,
  gridSample,
  interpolate,
  linspace,
  manualSeed,
  models,
  randn,
  stack,
  tensor,
  tidy,
  zeros,
} from '../../lib';
import { assign } from '../../lib/tensor/assign';
import { directionalError } from './network-gradients';

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

test('the fused order is the composition of its parts', () =>
  tidy(() => {
    const layer = layer64({ dt: 0.7 });
    assign(layer.velocity.last, layer.velocity.last.mul(1e4));
    const u = randn([2, 3, 9, 8], { ...float64, seed: 1 });
    const { step } = layer;
    const parts = step.react(step.diffuse(step.advect(u, layer.displacement(u))));
    expect(maxDifference(layer.forward(u), parts)).toBeLessThan(1e-12);
  }));

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

test('unknown options are refused', () => {
  const make = (options: object) => () => new models.ADRNN({ inChannels: 1, ...options });
  expect(make({ order: 'xyz' })).toThrow(/order must be one of adr/);
  expect(make({ splitting: 'marchuk' })).toThrow(/splitting must be one of lie, strang/);
  expect(make({ transport: 'energy' })).toThrow(/transport/);
  expect(make({ mode: 'none' })).toThrow(/mode must be/);
  expect(make({ velocity: 3 })).toThrow(/velocity/);
  expect(make({ velocities: 3 })).toThrow(/velocities must divide the 64 channels/);
  expect(make({ initialSpeed: -1 })).toThrow(/initialSpeed must be a finite number >= 0/);
  expect(make({ velocityScale: 0 })).toThrow(/scale must be an integer > 0/);
  expect(make({ kernelSize: 2 })).toThrow(/kernelSize must be an odd integer/);
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

  test('has the published layers', () =>
    tidy(() => {
      const size = [5, 7] as const;
      const net = new models.OfficialADRNet(2, 2, { size, channels: 3, layers: 2 }).to('float64');
      for (const p of net.parameters()) assign(p, p.add(randn(p.shape, float64).mul(0.2)));
      const x = randn([2, 2, ...size], { ...float64, seed: 1 });
      const block = (z: Tensor, part: models.OfficialADRNet['open']) => {
        const normal = part.conv1.forward(z).layerNorm([...size]);
        return part.conv2.forward(normal.mul(part.norm.weight!).add(part.norm.bias!).silu());
      };
      // Normalised coordinates, the corners at the centres of the outer cells; each channel by itself.
      const axis = (n: number) => linspace(-1, 1, n, float64);
      const gridX = axis(7).expand([5, 7]);
      const gridY = axis(5).reshape([5, 1]).expand([5, 7]);
      let z = block(x, net.open);
      for (const layer of net.layers) {
        const way = (part: typeof layer.u) => {
          const embedded = block(part.time.mul(0.5), part.embed);
          const hidden = part.conv
            .forward(z)
            .add(embedded)
            .layerNorm([...size]);
          const active = hidden.mul(part.norm.weight!).add(part.norm.bias!).silu();
          return active.conv2d(part.last, { padding: 1 }).div(5).reshape([6, 5, 7]);
        };
        const grid = stack([way(layer.u).add(gridX), way(layer.v).add(gridY)], { dim: 3 });
        const moved = gridSample(z.reshape([6, 1, 5, 7]), grid, {
          ...{ mode: 'bilinear', paddingMode: 'zeros', alignCorners: true },
        });
        z = z.add(block(moved.reshape([2, 3, 5, 7]), layer.reaction).div(5));
      }
      const expected = z.conv2d(net.last);
      expect(maxDifference(net.forward(x, 0.5), expected)).toBeLessThan(1e-10);
    }));

  test('starts as published', () =>
    tidy(() => {
      const size = [16, 16] as const;
      const net = new models.OfficialADRNet(2, 2, { size, channels: 12, layers: 1 });
      const deviation = (p: Tensor) => p.std().item();
      expect(deviation(net.layers[0]!.u.last)).toBeCloseTo(1e-4, 5);
      expect(deviation(net.layers[0]!.v.time)).toBeCloseTo(1e-4, 5);
      expect(Math.abs(deviation(net.last) / 1e-2 - 1)).toBeLessThan(0.5);
    }));

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
    [
      'several velocities, normalised',
      { inChannels: 2, channels: 4, layers: 2, velocities: 2, normalize: true, kernelSize: 3 },
    ],
    [
      'splat of several velocities from a coarser mesh',
      {
        inChannels: 2,
        channels: 4,
        layers: 2,
        velocities: 4,
        velocityScale: 2,
        transport: 'mass',
        initialSpeed: 0.3,
      },
    ],
    ['official', { mode: 'official', inChannels: 2, channels: 3, layers: 2, size: [7, 6] }],
  ];
  test.each(networks)('%s', (_, options) => {
    const model = new models.ADRNN(options).to('float64');
    // Away from the kinks of the interpolation at whole displacements.
    for (const [name, p] of model.namedParameters()) {
      if (name.endsWith('last')) assign(p, p.mul(3e3));
    }
    const size = 'velocityScale' in options ? [8, 6] : [7, 6];
    const x = randn([2, 2, ...size], { ...float64, seed: 5 });
    expect(directionalError(model, x)).toBeLessThan(1e-6);
  });
});

test.each(['split', 'official'] as const)(
  "mode '%s' gives in float32 what it gives in float64",
  (mode) =>
    tidy(() => {
      const sizes = { inChannels: 2, channels: 4, layers: 2 };
      const model = new models.ADRNN(
        mode === 'split' ? { mode, ...sizes } : { mode, ...sizes, size: [8, 6] },
      );
      for (const [name, p] of model.namedParameters()) {
        if (name.endsWith('last')) assign(p, p.mul(1e3));
      }
      const x = randn([2, 2, 8, 6], { seed: 5 });
      const single = model.forward(x);
      expect(single.dtype).toBe('float32');
      const double = model.to('float64').forward(x.to('float64'));
      expect(double.dtype).toBe('float64');
      expect(maxDifference(single.to('float64'), double)).toBeLessThan(1e-4);
    }),
);

test('loads what it saved', () =>
  tidy(() => {
    const make = () => new models.ADRNN({ inChannels: 1, channels: 3, layers: 2 });
    const [a, b] = [make(), make()];
    b.loadStateDict(a.stateDict());
    const x = randn([1, 1, 8, 8], { seed: 1 });
    expect(maxDifference(a.forward(x), b.forward(x))).toBe(0);
  }));
