// The fused step is the composition of its parts, in values and in gradients.
import {
  type PointwiseReaction,
  type Tensor,
  add,
  adrStep2d,
  advectSemiLagrangian2d,
  conv2d,
  full,
  gelu,
  implicitDiffusion2d,
  memory,
  mul,
  nn,
  rand,
  randn,
  relu,
  silu,
  tanh,
  tidy,
  zeros,
} from '../../lib';

const ACTIVATIONS = { relu, silu, gelu, tanh };
const [N, C, M, H, W] = [2, 18, 20, 21, 33];
const dt = 0.3;
const float64 = { dtype: 'float64' } as const;

type Activation = keyof typeof ACTIVATIONS;
type Parts = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];

function parts(shared: boolean): Parts {
  return [
    randn([N, C, H, W], { ...float64, seed: 1 }),
    randn([shared ? 1 : N, 2, H, W], { ...float64, seed: 2 }).mul(3),
    rand([C, 2], { ...float64, seed: 3 }),
    randn([M, C], { ...float64, seed: 4 }).mul(0.2),
    randn([M], { ...float64, seed: 5 }),
    randn([C, M], { ...float64, seed: 6 }).mul(0.2),
    randn([C], { ...float64, seed: 7 }),
  ];
}

function composed(
  [u, d, k, w1, b1, w2, b2]: Parts,
  activation: Activation,
  advectionBoundary: 'zeros' | 'border' | 'reflect' | 'periodic',
  boundary: 'neumann' | 'dirichlet' | 'periodic',
): Tensor {
  const a = advectSemiLagrangian2d(u, d, { boundary: advectionBoundary });
  const v = implicitDiffusion2d(a, k, { dt, dx: 0.7, dy: 1.1, boundary });
  const hidden = ACTIVATIONS[activation](conv2d(v, w1.reshape([M, C, 1, 1]), { bias: b1 }));
  return add(v, mul(conv2d(hidden, w2.reshape([C, M, 1, 1]), { bias: b2 }), dt));
}

describe.each([
  ['silu', 'zeros', 'neumann', false],
  ['gelu', 'border', 'dirichlet', true],
  ['tanh', 'reflect', 'periodic', false],
  ['relu', 'periodic', 'neumann', true],
] as const)('%s, %s, %s', (activation, advectionBoundary, diffusionBoundary, shared) => {
  test('is the composition of its parts', () => {
    tidy(() => {
      const results = [true, false].map((fused) => {
        const all = parts(shared);
        for (const part of all) part.requiresGrad = true;
        const [u, d, k, weight1, bias1, weight2, bias2] = all;
        const reaction: PointwiseReaction = { weight1, bias1, weight2, bias2, activation };
        const w = fused
          ? adrStep2d(u, d, k, reaction, {
              dt,
              dx: 0.7,
              dy: 1.1,
              advectionBoundary,
              diffusionBoundary,
            })
          : composed(all, activation, advectionBoundary, diffusionBoundary);
        w.backward(randn(w.shape, { ...float64, seed: 8 }));
        return [w, ...all.map((part) => part.grad!)].map((t) => t.dataSync());
      });
      results[0]!.forEach((values, i) => {
        const expected = results[1]![i]!;
        const largest = Math.max(...expected.map(Math.abs));
        const error = Math.max(...values.map((x, j) => Math.abs(x - expected[j]!)));
        expect(error).toBeLessThan(1e-12 * largest);
      });
    });
  });
});

test('keeps nothing for backward but its inputs', () => {
  tidy(() => {
    const [u, d, k, weight1, , weight2] = parts(false);
    u.requiresGrad = true;
    const before = memory().bytes;
    const w = adrStep2d(u, d, k, { weight1, weight2 }, { dt });
    // The result, and the biases that were not given; a second field would double it.
    expect(memory().bytes - before).toBeLessThan(1.5 * w.size * 8);
    w.backward(full(w.shape, 1, float64));
    expect(u.grad!.shape).toEqual(u.shape);
  });
});

describe('the layer', () => {
  const layer = (options: object = {}) =>
    new nn.AdvectionDiffusionReaction2d(4, { dt: 0.5, hidden: 6, ...options }).to('float64');
  const field = randn([2, 4, 9, 11], { ...float64, seed: 1 });
  const displacement = randn([2, 2, 9, 11], { ...float64, seed: 2 });

  test('fuses where shapes and settings allow', () => {
    const each = zeros([2, 4, 2, 9, 11], float64);
    expect(layer().fuses(field, displacement)).toBe(true);
    expect(layer().fuses(field, each)).toBe(false);
    expect(layer({ activation: 'elu' }).fuses(field, displacement)).toBe(false);
    const crank = { diffusionOptions: { scheme: 'crank-nicolson' } };
    expect(layer(crank).fuses(field, displacement)).toBe(false);
    const large = zeros([1, 4, 512, 512]);
    expect(layer().fuses(large, zeros([1, 2, 512, 512]))).toBe(false);
  });

  test('gives the same either way', () => {
    tidy(() => {
      const model = layer();
      const results = [false, true].map((fused) => {
        jest.spyOn(model, 'fuses').mockReturnValue(fused);
        const w = model.forward(field, displacement);
        w.backward(randn(w.shape, { ...float64, seed: 3 }));
        const gradients = model.parameters().map((parameter) => {
          const values = parameter.grad!.dataSync();
          parameter.grad = null;
          return values;
        });
        return [w.dataSync(), ...gradients];
      });
      results[0]!.forEach((values, i) =>
        values.forEach((x, j) => expect(x).toBeCloseTo(results[1]![i]![j]!, 11)),
      );
    });
  });
});

describe('demands', () => {
  const [u, d] = [zeros([1, 2, 4, 4]), zeros([1, 2, 4, 4])];
  const reaction = { weight1: zeros([3, 2]), weight2: zeros([2, 3]) };
  const step = (changes: object, options: object = { dt: 1 }, displacement = d) =>
    adrStep2d(u, displacement, 1, { ...reaction, ...changes }, options as { dt: number });
  test.each([
    ['a positive dt', () => step({}, {}), 'FLUXION_INVALID_ARGUMENT'],
    ['known options', () => step({}, { dt: 1, steps: 2 }), 'FLUXION_INVALID_ARGUMENT'],
    ['a known activation', () => step({ activation: 'sine' }), 'FLUXION_INVALID_ARGUMENT'],
    ['weights that fit', () => step({ weight2: zeros([3, 2]) }), 'FLUXION_SHAPE_MISMATCH'],
    ['one dtype', () => step({ bias1: zeros([3], float64) }), 'FLUXION_DTYPE_MISMATCH'],
    [
      'a displacement of two components',
      () => step({}, { dt: 1 }, zeros([1, 3, 4, 4])),
      'FLUXION_SHAPE_MISMATCH',
    ],
  ])('%s', (_, run, code) => {
    expect(run).toThrow(expect.objectContaining({ code, op: 'adrStep2d' }) as Error);
  });
});
