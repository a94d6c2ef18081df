// ADRNN: its options, the released network, gradients, types, loading.
import {
  type Tensor,
  gridSample,
  linspace,
  manualSeed,
  models,
  randn,
  stack,
  tensor,
  tidy,
} from '../../lib';
import { assign } from '../../lib/tensor/assign';
import { directionalError } from './network-gradients';

const float64 = { dtype: 'float64' } as const;
const ORDERS: models.ADROrder[] = ['adr', 'ard', 'dar', 'dra', 'rad', 'rda'];

beforeEach(() => manualSeed(3));

const maxDifference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();

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
