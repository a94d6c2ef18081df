// RDNN: what its layer keeps, its symbols, huge steps, splitting orders, gradients, heads, readings.
import { type Tensor, manualSeed, models, nn, randn, tensor, tidy, zeros } from '../../lib';
import { assign } from '../../lib/tensor/assign';
import { directionalError } from './network-gradients';

const float64 = { dtype: 'float64' } as const;
const [H, W] = [5, 8];
const [DX, DY] = [0.7, 1.3];
const ORDERS = ['reaction-first', 'diffusion-first', 'strang'] as const;
const SOLVERS = ['tridiagonal', 'spectral'] as const;
const BOUNDARIES = ['neumann', 'periodic', 'dirichlet'] as const;
type Solver = (typeof SOLVERS)[number];
type Boundary = (typeof BOUNDARIES)[number];
const EVERY = ORDERS.flatMap((order) =>
  SOLVERS.flatMap((solver) => BOUNDARIES.map((boundary) => [order, solver, boundary] as const)),
);

const maxDifference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();
const squares = (u: Tensor) => u.pow(2).sum().item();

beforeEach(() => manualSeed(7));

interface Given {
  dt?: number;
  perAxis?: boolean;
  /** Without a reaction: R = 0. */
  still?: boolean;
}

/** A layer of two channels in float64 and eval mode. */
function layerOf(order: models.RDOrder, solver: Solver, boundary: Boundary, given: Given = {}) {
  const { dt = 0.8, perAxis = false, still = false } = given;
  const layer = new models.RDLayer(2, {
    ...{ order, dt, activation: 'tanh' },
    diffusionOptions: { solver, boundary, perAxis, dx: DX, dy: DY, initial: [0.3, 2] },
  })
    .to('float64')
    .eval();
  if (still) {
    const { weight, bias } = layer.reaction.second;
    for (const t of [weight, bias!]) assign(t, zeros(t.shape, float64));
  }
  return layer;
}

describe.each(EVERY)('a layer, %s, %s, %s', (order, solver, boundary) => {
  const mean = (u: Tensor) => u.mean({ dim: [2, 3] });
  const field = () => randn([3, 2, H, W], { ...float64, seed: 1 });

  test('without a reaction keeps means (but for zero walls) and does not amplify', () =>
    tidy(() => {
      const w = layerOf(order, solver, boundary, { still: true }).forward(field());
      expect(squares(w)).toBeLessThan(squares(field()));
      if (boundary !== 'dirichlet') {
        expect(maxDifference(mean(w), mean(field()))).toBeLessThan(1e-14);
      }
    }));

  test('multiplies a mode by its symbol', () =>
    tidy(() => {
      const dt = 0.8;
      const layer = layerOf(order, solver, boundary, { dt, perAxis: true, still: true });
      const k = layer.diffusion!.diffusivity().dataSync();
      // Mode 3 along x, 2 along y.
      const [x, y] = [modeOf(boundary, 3, W, DX), modeOf(boundary, 2, H, DY)];
      const mode = Float64Array.from({ length: 2 * H * W }, (_, i) => {
        const at = i % (H * W);
        return x.values[at % W]! * y.values[Math.floor(at / W)]!;
      });
      const step = (h: number, kx: number, ky: number) =>
        solver === 'tridiagonal'
          ? 1 / ((1 + h * kx * x.lambda) * (1 + h * ky * y.lambda))
          : 1 / (1 + h * (kx * x.lambda + ky * y.lambda));
      const symbol = (c: number) => {
        const [kx, ky] = [k[2 * c]!, k[2 * c + 1]!];
        return order === 'strang' ? step(dt / 2, kx, ky) ** 2 : step(dt, kx, ky);
      };
      const expected = mode.map((v, i) => v * symbol(Math.floor(i / (H * W))));
      const given = tensor(mode, { shape: [1, 2, H, W] });
      const moved = layer.forward(given);
      expect(maxDifference(moved, tensor(expected, { shape: [1, 2, H, W] }))).toBeLessThan(1e-14);
    }));

  test('takes a step of 1e6', () =>
    tidy(() => {
      const u = field();
      const w = layerOf(order, solver, boundary, { dt: 1e6, still: true }).forward(u);
      const limit =
        boundary === 'dirichlet' ? zeros(u.shape, float64) : mean(u).reshape([3, 2, 1, 1]);
      expect(w.sub(limit).abs().max().item()).toBeLessThan(1e-4);
      // With a reaction, diffusion bounds what it does not see: everything but the mean.
      const moved = layerOf(order, solver, boundary, { dt: 1e6 }).forward(u);
      expect(Number.isFinite(squares(moved))).toBe(true);
    }));

  test.each([false, true])(
    'has exact gradients, diffusivities included (per axis: %s)',
    (perAxis) => {
      const layer = layerOf(order, solver, boundary, { perAxis }).train();
      expect([...layer.namedParameters()].map(([name]) => name)).toContain(
        'diffusion.rawDiffusivity',
      );
      expect(directionalError(layer, field())).toBeLessThan(1e-7);
    },
  );
});

/** Eigenvector number m of minus the second difference on n cells, and its eigenvalue. */
function modeOf(boundary: Boundary, m: number, n: number, dx: number) {
  const theta = {
    neumann: (Math.PI * m) / n,
    periodic: (2 * Math.PI * m) / n,
    dirichlet: (Math.PI * m) / (n + 1),
  }[boundary];
  const value = {
    neumann: (j: number) => Math.cos(theta * (j + 0.5)),
    periodic: (j: number) => Math.cos(theta * j) + Math.sin(theta * j),
    dirichlet: (j: number) => Math.sin(theta * (j + 1)),
  }[boundary];
  return {
    values: Float64Array.from({ length: n }, (_, j) => value(j)),
    lambda: (2 - 2 * Math.cos(theta)) / dx ** 2,
  };
}

test('the orders are what they say', () =>
  tidy(() => {
    const u = randn([2, 2, H, W], { ...float64, seed: 2 });
    const layerIn = (order: models.RDOrder) => {
      manualSeed(7);
      return layerOf(order, 'spectral', 'neumann');
    };
    const { diffusion, reaction } = layerIn('strang');
    const react = (v: Tensor) => v.add(reaction.forward(v).mul(0.8));
    const expected = {
      'reaction-first': () => diffusion!.forward(react(u)),
      'diffusion-first': () => react(diffusion!.forward(u)),
      strang: () => diffusion!.forward(react(diffusion!.forward(u, 0.5)), 0.5),
    };
    for (const order of ORDERS) {
      expect(maxDifference(layerIn(order).forward(u), expected[order]())).toBeLessThan(1e-13);
    }
  }));

test('solvers differ by the splitting error only', () =>
  tidy(() => {
    const u = randn([1, 2, H, W], { ...float64, seed: 2 });
    const difference = (dt: number) => {
      const [a, b] = SOLVERS.map((solver) =>
        layerOf('reaction-first', solver, 'neumann', { dt, still: true }).forward(u),
      );
      return maxDifference(a!, b!);
    };
    // dt^2 k^2 D_x D_y: a tenth of the step, a hundredth of the difference.
    expect(difference(1e-3) / difference(1e-4)).toBeGreaterThan(90);
    expect(difference(1e-3) / difference(1e-4)).toBeLessThan(110);
  }));

describe.each(['classification', 'segmentation'] as const)('a network for %s', (head) => {
  const make = (more: models.RDNNOptions = {}) =>
    new models.RDNN({ ...{ head, classes: 3, channels: [3, 4], layersPerBlock: 1 }, ...more });
  const images = (dtype: 'float32' | 'float64') => randn([2, 1, 6, 7], { dtype, seed: 3 });

  test.each(ORDERS.flatMap((order) => SOLVERS.map((solver) => [order, solver] as const)))(
    'has exact gradients, %s, %s',
    (order, solver) => {
      const diffusionOptions = { solver, perAxis: solver === 'spectral' };
      const model = make({ order, activation: 'tanh', diffusionOptions }).to('float64');
      // Max-pooling has kinks, but a random field is not near one.
      expect(directionalError(model, images('float64'))).toBeLessThan(1e-6);
    },
  );

  test('runs in float32 and float64, at any size', () =>
    tidy(() => {
      const model = make().eval();
      const x = images('float32');
      const single = model.forward(x);
      expect(single.dtype).toBe('float32');
      expect(single.shape).toEqual(head === 'classification' ? [2, 3] : [2, 3, 6, 7]);
      const double = model.to('float64').forward(x.to('float64'));
      expect(double.dtype).toBe('float64');
      expect(maxDifference(double, single.to('float64'))).toBeLessThan(1e-5);
    }));
});

describe('readings', () => {
  test('a blur width is the standard deviation of what one cell spreads to', async () => {
    const [dt, dx, dy] = [1.5, 0.5, 0.8];
    for (const solver of SOLVERS) {
      const layer = new nn.Diffusion2d(1, { dt, dx, dy, solver, perAxis: true, initial: 0.9 });
      const widths = await layer.readBlurWidth();
      expect(widths[0]).toBeCloseTo(Math.sqrt(2 * 0.9 * dt) / dx, 5);
      expect(widths[1]).toBeCloseTo(Math.sqrt(2 * 0.9 * dt) / dy, 5);
      const spread = tidy(() => {
        const n = 101;
        const cell = new Float64Array(n * n);
        cell[(n * n - 1) / 2] = 1;
        const w = layer.to('float64').forward(tensor(cell, { shape: [1, 1, n, n] }));
        const value = [...w.dataSync()];
        const moment = (position: (i: number) => number) =>
          Math.sqrt(value.reduce((sum, v, i) => sum + v * (position(i) - (n - 1) / 2) ** 2, 0));
        return [moment((i) => i % n), moment((i) => Math.floor(i / n))];
      });
      expect(spread[0]).toBeCloseTo(widths[0]!, 4);
      expect(spread[1]).toBeCloseTo(widths[1]!, 4);
    }
  });

  test('of a network count pixels of its input', async () => {
    const options = { channels: [2, 3], layersPerBlock: 1, dt: 0.5 };
    const read = async (head: models.RDNNHead) =>
      new models.RDNN({ ...options, head, diffusionOptions: { initial: 4 } }).readDiffusions();
    const pooled = await read('classification');
    expect(pooled.map(({ name }) => name)).toEqual(['blocks.0.0', 'blocks.1.4']);
    expect([...pooled[1]!.diffusivity]).toEqual(
      [4, 4, 4].map((k) => expect.closeTo(k, 5) as number),
    );
    expect(pooled[0]!.blurWidth[0]).toBeCloseTo(2, 5);
    expect(pooled[1]!.blurWidth[0]).toBeCloseTo(4, 5);
    const full = await read('segmentation');
    expect(full.map(({ blurWidth }) => blurWidth[0])).toEqual(
      [2, 2].map((v) => expect.closeTo(v, 5) as number),
    );
  });
});

test('refusals', () => {
  const network = (options: object) => () => new models.RDNN(options);
  expect(network({ head: 'regression' })).toThrow(
    /head must be one of classification, segmentation/,
  );
  expect(network({ order: 'lie' })).toThrow(/order must be one of reaction-first, diffusion-first/);
  expect(network({ channels: [] })).toThrow(/channels must name at least one block/);
  expect(network({ layersPerBlock: [1] })).toThrow(/one number for each of 2 blocks/);
  expect(network({ dt: 0 })).toThrow(/dt must be a finite number > 0/);
  expect(network({ diffusionOptions: { solver: 'cg' } })).toThrow(
    /solver must be one of tridiagonal/,
  );
  expect(network({ diffusionOptions: { scheme: 'exponential' } })).toThrow(
    /'exponential' needs the solver 'spectral'/,
  );
  expect(network({ pooling: 2 })).toThrow(/pooling/);
});
