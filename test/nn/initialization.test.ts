// Initialisers: the distributions that PyTorch's documentation states, and the defaults of its layers.
import { type Tensor, manualSeed, nn, tensor, zeros } from '../../lib';

const { init } = nn;

beforeEach(() => manualSeed(20240229));

interface Moments {
  mean: number;
  std: number;
  min: number;
  max: number;
}

function moments(x: Tensor): Moments {
  const values = Array.from(x.dataSync());
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  const ordered = Float64Array.from(values).sort();
  return { mean, std: Math.sqrt(variance), min: ordered[0]!, max: ordered.at(-1)! };
}

/** Mean and deviation within five standard errors; bounds kept and nearly reached. */
function expectUniform(x: Tensor, low: number, high: number): void {
  const { mean, std, min, max } = moments(x);
  const width = high - low;
  const error = (5 * width) / Math.sqrt(12 * x.size);
  expect(Math.abs(mean - (low + high) / 2)).toBeLessThan(error);
  expect(Math.abs(std - width / Math.sqrt(12))).toBeLessThan(error);
  // The bound itself may be reached by rounding.
  expect(min).toBeGreaterThanOrEqual(low - 1e-6 * width);
  expect(max).toBeLessThanOrEqual(high + 1e-6 * width);
  expect(max - min).toBeGreaterThan(width * (1 - 20 / x.size));
}

function expectNormal(x: Tensor, mean: number, std: number): void {
  const found = moments(x);
  const error = (5 * std) / Math.sqrt(x.size);
  expect(Math.abs(found.mean - mean)).toBeLessThan(error);
  expect(Math.abs(found.std - std)).toBeLessThan(error);
  // A normal sample of thousands goes beyond 3 and not beyond 6 standard deviations.
  expect(found.max - mean).toBeGreaterThan(2.9 * std);
  expect(found.max - mean).toBeLessThan(6 * std);
}

const weight = () => zeros([64, 32, 3, 3]); // fan in 288, fan out 576

describe('uniform and normal', () => {
  test('defaults and options', () => {
    expectUniform(init.uniform(weight()), 0, 1);
    expectUniform(init.uniform(weight(), { a: -3, b: -1 }), -3, -1);
    expectNormal(init.normal(weight()), 0, 1);
    expectNormal(init.normal(weight(), { mean: 5, std: 0.1 }), 5, 0.1);
  });

  test('the seed decides, in both precisions', () => {
    for (const dtype of ['float32', 'float64'] as const) {
      const draw = () => {
        manualSeed(7);
        return [...init.normal(zeros([5], { dtype })).dataSync()];
      };
      expect(draw()).toEqual(draw());
    }
  });

  test('values change in place: identity, dtype and requiresGrad stay', () => {
    const x = tensor([1, 2, 3], { dtype: 'float64', requiresGrad: true });
    expect(init.uniform(x)).toBe(x);
    expect([x.dtype, x.requiresGrad, x.isLeaf, x.shape]).toEqual(['float64', true, true, [3]]);
  });
});

test('constants, identity, Dirac', async () => {
  expect(await init.constant(zeros([2]), 2.5).toArray()).toEqual([2.5, 2.5]);
  expect(await init.ones(zeros([2])).toArray()).toEqual([1, 1]);
  expect(await init.zeros(init.ones(zeros([2]))).toArray()).toEqual([0, 0]);
  expect(await init.eye(zeros([2, 3])).toArray()).toEqual([
    [1, 0, 0],
    [0, 1, 0],
  ]);
  expect(await init.dirac(zeros([2, 2, 3])).toArray()).toEqual([
    [
      [0, 1, 0],
      [0, 0, 0],
    ],
    [
      [0, 0, 0],
      [0, 1, 0],
    ],
  ]);
  const x = init.uniform(zeros([1, 4, 5, 5]));
  const identity = init.dirac(zeros([4, 2, 3, 3]), { groups: 2 });
  const kept = x.conv2d(identity, { padding: 1, groups: 2 });
  expect([...kept.dataSync()]).toEqual([...x.dataSync()]);
});

describe('scaled by fans', () => {
  test('Xavier', () => {
    const std = Math.sqrt(2 / (288 + 576));
    expectUniform(init.xavierUniform(weight()), -Math.sqrt(3) * std, Math.sqrt(3) * std);
    expectNormal(init.xavierNormal(weight(), { gain: 2 }), 0, 2 * std);
  });

  test('Kaiming', () => {
    const relu = Math.SQRT2;
    const bound = relu * Math.sqrt(3 / 288); // the defaults: leaky_relu of slope 0
    expectUniform(init.kaimingUniform(weight()), -bound, bound);
    expectNormal(
      init.kaimingNormal(weight(), { mode: 'fan_out', nonlinearity: 'relu' }),
      0,
      relu / Math.sqrt(576),
    );
    expectNormal(init.kaimingNormal(weight(), { a: 1 }), 0, 1 / Math.sqrt(288));
    expectNormal(init.kaimingNormal(weight(), { nonlinearity: 'tanh' }), 0, 5 / 3 / Math.sqrt(288));
  });

  test.each<[string, number | undefined, number]>([
    ['linear', undefined, 1],
    ['conv2d', undefined, 1],
    ['sigmoid', undefined, 1],
    ['tanh', undefined, 5 / 3],
    ['relu', undefined, Math.sqrt(2)],
    ['leaky_relu', undefined, Math.sqrt(2 / (1 + 0.0001))],
    ['leaky_relu', 0.5, Math.sqrt(2 / 1.25)],
    ['leakyRelu', 0.5, Math.sqrt(2 / 1.25)],
    ['selu', undefined, 0.75],
  ])('gain of %s %p', (name, param, gain) => {
    expect(init.calculateGain(name, { param })).toBeCloseTo(gain, 12);
  });
});

describe('drawn on the host', () => {
  test.each<[number, number, number, number]>([
    [0, 1, -2, 2],
    [1, 0.5, -2, 2],
    [0, 1, -0.1, 0.3],
    [0, 1, 2, 3],
    [3, 2, -5, -1],
  ])('a truncated normal of mean %p, std %p in [%p, %p]', (mean, std, a, b) => {
    const x = init.truncNormal(zeros([20000], { dtype: 'float64' }), { mean, std, a, b });
    const found = moments(x);
    expect(found.min).toBeGreaterThanOrEqual(a);
    expect(found.max).toBeLessThanOrEqual(b);
    // Moments of the density exp(-((x - mean) / std)^2 / 2) on [a, b], by the midpoint rule.
    const points = Array.from({ length: 4000 }, (_, i) => a + ((b - a) * (i + 0.5)) / 4000);
    const density = points.map((x) => Math.exp(-(((x - mean) / std) ** 2) / 2));
    const total = density.reduce((s, d) => s + d, 0);
    const first = points.reduce((s, x, i) => s + (x * density[i]!) / total, 0);
    const second = points.reduce((s, x, i) => s + ((x - first) ** 2 * density[i]!) / total, 0);
    const error = (5 * Math.sqrt(second)) / Math.sqrt(x.size);
    expect(Math.abs(found.mean - first)).toBeLessThan(error);
    expect(Math.abs(found.std - Math.sqrt(second))).toBeLessThan(error);
  });

  test.each([
    [[6, 6], 1],
    [[3, 7], 2],
    [[8, 3], 1],
    [[4, 2, 3], 0.5],
    [[1, 5], 1],
  ] as const)('an orthogonal matrix %p times %p', (shape, gain) => {
    const x = init.orthogonal(zeros([...shape], { dtype: 'float64' }), { gain });
    const [rows, columns] = [shape[0], x.size / shape[0]];
    const matrix = x.reshape([rows, columns]);
    const gram =
      rows <= columns
        ? matrix.matmul(matrix.transpose(0, 1))
        : matrix.transpose(0, 1).matmul(matrix);
    const n = Math.min(rows, columns);
    gram.dataSync().forEach((value: number, i: number) => {
      expect(value).toBeCloseTo(i % (n + 1) === 0 ? gain ** 2 : 0, 12);
    });
  });

  test('orthogonal matrices have no preferred sign', () => {
    const corners = Array.from(
      { length: 200 },
      () => init.orthogonal(zeros([2, 2])).dataSync()[0]!,
    );
    const positive = corners.filter((c) => c > 0).length;
    expect(Math.abs(positive - 100)).toBeLessThan(36);
  });
});

describe('wrong arguments are errors', () => {
  const x = () => zeros([2, 3]);
  test.each<[string, () => unknown]>([
    ['uniform', () => init.uniform(x(), { a: 1, b: 0 })],
    ['uniform', () => init.uniform(x(), { low: 1 } as object)],
    ['uniform', () => init.uniform(zeros([2], { dtype: 'int32' }))],
    ['normal', () => init.normal(x(), { std: -1 })],
    ['constant', () => init.constant(x(), NaN)],
    ['eye', () => init.eye(zeros([2]))],
    ['dirac', () => init.dirac(x())],
    ['dirac', () => init.dirac(zeros([3, 2, 3]), { groups: 2 })],
    ['xavierUniform', () => init.xavierUniform(zeros([3]))],
    ['kaimingNormal', () => init.kaimingNormal(x(), { mode: 'fan' as 'fan_in' })],
    ['kaimingNormal', () => init.kaimingNormal(x(), { nonlinearity: 'swish' })],
    ['truncNormal', () => init.truncNormal(x(), { a: 2, b: 1 })],
    ['orthogonal', () => init.orthogonal(zeros([3]))],
    ['calculateGain', () => init.calculateGain('none')],
  ])('%s (%#)', (op, fn) => {
    expect(fn).toThrow(expect.objectContaining({ name: 'FluxionError', op }) as Error);
  });
});

describe('layers start as PyTorch starts them', () => {
  test('linear and convolution: uniform in 1 / sqrt(fan in)', () => {
    const linear = new nn.Linear(100, 200);
    expectUniform(linear.weight, -0.1, 0.1);
    expectUniform(linear.bias!, -0.1, 0.1);
    const conv = new nn.Conv2d(32, 64, 3, { groups: 2 });
    expectUniform(conv.weight, -1 / 12, 1 / 12);
    expectUniform(conv.bias!, -1 / 12, 1 / 12);
  });

  test('convolutions in one and three dimensions, and transposed ones', () => {
    expectUniform(new nn.Conv1d(20, 64, 5).weight, -0.1, 0.1);
    expectUniform(new nn.Conv3d(4, 32, [1, 5, 5]).weight, -0.1, 0.1);
    // The fan is that of the weight's second axis, the outputs.
    const transposed = new nn.ConvTranspose2d(64, 8, 5, { groups: 2 });
    expect(transposed.weight.shape).toEqual([64, 4, 5, 5]);
    expectUniform(transposed.weight, -0.1, 0.1);
  });

  test('embedding: normal', () => {
    expectNormal(new nn.Embedding(100, 100).weight, 0, 1);
  });

  test('norms: 1 and 0', () => {
    for (const norm of [
      new nn.BatchNorm1d(3),
      new nn.BatchNorm2d(3),
      new nn.BatchNorm3d(3),
      new nn.LayerNorm(3),
      new nn.GroupNorm(3, 3),
    ]) {
      expect([...norm.weight!.dataSync(), ...norm.bias!.dataSync()]).toEqual([1, 1, 1, 0, 0, 0]);
    }
    const { runningMean, runningVar } = new nn.BatchNorm2d(2);
    expect([...runningMean!.dataSync(), ...runningVar!.dataSync()]).toEqual([0, 0, 1, 1]);
  });
});
