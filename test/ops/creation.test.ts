// Making tensors: values, dtypes, shapes, and what is refused. Draws: reproducible, independent, well distributed.
import {
  FluxionError,
  type Tensor,
  arange,
  bernoulli,
  config,
  devices,
  empty,
  eye,
  full,
  generatorState,
  linspace,
  manualSeed,
  ones,
  onesLike,
  permutation,
  rand,
  randint,
  randn,
  setGeneratorState,
  setNumThreads,
  tensor,
  tidy,
  version,
  zeros,
  zerosLike,
} from '../../lib';

const values = (t: Tensor) => [...t.dataSync()];

function codeOf(fn: () => unknown): [string, string] {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(FluxionError);
    return [(error as FluxionError).code, (error as FluxionError).op];
  }
  throw new Error('nothing was thrown');
}

describe('tensor', () => {
  test('of nested arrays, numbers and typed arrays', async () => {
    const t = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect([t.shape, t.dtype, t.device, t.size, t.ndim]).toEqual([[2, 3], 'float32', 'cpu', 6, 2]);
    expect(await t.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(tensor(7).shape).toEqual([]);
    expect(tensor(7).item()).toBe(7);
    expect(tensor([]).shape).toEqual([0]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    expect(tensor([1, 2, 3, 4], { shape: [2, 2] }).shape).toEqual([2, 2]);
    for (const [array, dtype] of [
      [Float32Array.of(1, 2), 'float32'],
      [Float64Array.of(1, 2), 'float64'],
      [Int32Array.of(1, 2), 'int32'],
      [Uint8Array.of(1, 2), 'uint8'],
      [Uint8ClampedArray.of(1, 2), 'uint8'],
    ] as const) {
      expect([tensor(array).dtype, values(tensor(array))]).toEqual([dtype, [1, 2]]);
    }
  });

  test('converts as cast does', () => {
    expect(values(tensor([-1.7, 300, NaN], { dtype: 'uint8' }))).toEqual([0, 255, 0]);
    expect(values(tensor(Float64Array.of(1.9, -1.9), { dtype: 'int32' }))).toEqual([1, -1]);
    expect(tensor(Int32Array.of(1), { dtype: 'float64' }).dtype).toBe('float64');
  });

  test('copies its values', () => {
    const array = Float32Array.of(1, 2);
    const t = tensor(array);
    array[0] = 9;
    expect(values(t)).toEqual([1, 2]);
    const part = new Float32Array([0, 1, 2, 3]).subarray(1, 3);
    expect(values(tensor(part))).toEqual([1, 2]);
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([3, 4]);
    expect(values(tensor(shared))).toEqual([3, 4]);
  });

  test('refuses what it cannot hold', () => {
    const detached = new Float32Array(4);
    structuredClone(detached, { transfer: [detached.buffer] });
    const refused: [unknown, string][] = [
      [[[1, 2], [3]], 'FLUXION_SHAPE_MISMATCH'],
      [[[1], 2], 'FLUXION_SHAPE_MISMATCH'],
      [[1, [2]], 'FLUXION_INVALID_ARGUMENT'],
      [['1'], 'FLUXION_INVALID_ARGUMENT'],
      [[null], 'FLUXION_INVALID_ARGUMENT'],
      [undefined, 'FLUXION_INVALID_ARGUMENT'],
      [{}, 'FLUXION_INVALID_ARGUMENT'],
      [BigInt64Array.of(1n), 'FLUXION_INVALID_ARGUMENT'],
      [new Int16Array(1), 'FLUXION_INVALID_ARGUMENT'],
      [new DataView(new ArrayBuffer(8)), 'FLUXION_INVALID_ARGUMENT'],
      [detached, 'FLUXION_INVALID_ARGUMENT'],
      [tensor(1), 'FLUXION_INVALID_ARGUMENT'],
      [[[[[[[[[[1]]]]]]]]], 'FLUXION_UNSUPPORTED'],
    ];
    for (const [given, code] of refused) {
      expect([given, codeOf(() => tensor(given as number))]).toEqual([given, [code, 'tensor']]);
    }
    expect(codeOf(() => tensor([1, 2], { shape: [3] }))[0]).toBe('FLUXION_SHAPE_MISMATCH');
    expect(codeOf(() => tensor([1], { shape: [-1] }))[0]).toBe('FLUXION_INVALID_ARGUMENT');
    expect(codeOf(() => tensor([1], { dtype: 'int8' as 'int32' }))[0]).toBe(
      'FLUXION_INVALID_ARGUMENT',
    );
    expect(codeOf(() => tensor([1], { type: 'int32' } as object))[0]).toBe(
      'FLUXION_INVALID_ARGUMENT',
    );
    expect(codeOf(() => tensor([1], { device: 'tpu' }))[0]).toBe('FLUXION_INVALID_ARGUMENT');
  });
});

describe('constants and sequences', () => {
  test('have the values they say', () => {
    expect(values(zeros([2]))).toEqual([0, 0]);
    expect(values(empty([2]))).toEqual([0, 0]);
    expect(values(ones([2], { dtype: 'int32' }))).toEqual([1, 1]);
    expect(values(full([2], -2.5))).toEqual([-2.5, -2.5]);
    expect(zerosLike(tensor([1], { dtype: 'int32' })).dtype).toBe('int32');
    expect(values(onesLike(tensor([[3]])))).toEqual([1]);
    expect(values(eye(2))).toEqual([1, 0, 0, 1]);
    expect(values(arange(3))).toEqual([0, 1, 2]);
    expect(values(arange(1, 4, { dtype: 'int32' }))).toEqual([1, 2, 3]);
    expect(values(arange(1, 2, 0.25))).toEqual([1, 1.25, 1.5, 1.75]);
    expect(values(arange(3, 0, -1))).toEqual([3, 2, 1]);
    expect(values(arange(2, 2))).toEqual([]);
    expect(values(linspace(0, 1, 5))).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(values(linspace(0.1, 0.7, 3, { dtype: 'float64' }))[2]).toBe(0.7);
    expect(values(linspace(4, 9, 1))).toEqual([4]);
    expect(ones([1], { requiresGrad: true }).requiresGrad).toBe(true);
  });

  const BAD_SHAPES = [[-1], [1.5], [NaN], [Infinity], ['2'], 3, null, Array<number>(9).fill(1)];
  test.each(BAD_SHAPES.map((shape) => [shape]))('a shape of %p is refused', (given) => {
    const shape = given as number[];
    for (const [op, fn] of Object.entries({ zeros, ones, empty, rand, randn })) {
      expect(codeOf(() => fn(shape))[1]).toBe(op);
    }
    expect(codeOf(() => full(shape, 1))[1]).toBe('full');
    expect(codeOf(() => randint(0, 2, shape))[1]).toBe('randint');
  });

  test('sizes that are refused', () => {
    expect(codeOf(() => arange(0, 5, -1))).toEqual(['FLUXION_INVALID_ARGUMENT', 'arange']);
    expect(codeOf(() => arange(0, NaN))).toEqual(['FLUXION_INVALID_ARGUMENT', 'arange']);
    expect(codeOf(() => arange(1e12))).toEqual(['FLUXION_INVALID_ARGUMENT', 'arange']);
    expect(codeOf(() => linspace(0, 1, 2.5))).toEqual(['FLUXION_INVALID_ARGUMENT', 'linspace']);
    expect(codeOf(() => eye(-1))).toEqual(['FLUXION_INVALID_ARGUMENT', 'eye']);
    expect(codeOf(() => permutation(1.5))).toEqual(['FLUXION_INVALID_ARGUMENT', 'permutation']);
    expect(codeOf(() => zeros([2 ** 40, 2 ** 10]))[0]).toBe('FLUXION_OUT_OF_MEMORY');
  });
});

describe('random numbers', () => {
  test('repeat with the seed and follow each other without', () => {
    const draw = () => values(randn([50]));
    manualSeed(3);
    const [first, second] = [draw(), draw()];
    expect(second).not.toEqual(first);
    manualSeed(3);
    expect([draw(), draw()]).toEqual([first, second]);
  });

  test('of their own seed leave the common state alone', () => {
    const before = generatorState();
    expect(values(rand([5], { seed: 7 }))).toEqual(values(rand([5], { seed: 7 })));
    expect(generatorState()).toEqual(before);
  });

  test('continue from a state that was saved', () => {
    rand([3]);
    const state = generatorState();
    const draw = values(permutation(20));
    setGeneratorState(state);
    expect(values(permutation(20))).toEqual(draw);
  });

  test('have the same bits on one and two threads', () => {
    const { threads } = config();
    const draw = (count: number) => {
      setNumThreads(count);
      return values(randn([100_000], { seed: 5 }));
    };
    expect(draw(1)).toEqual(draw(2));
    setNumThreads(threads);
  });

  test('are distributed as they say', () => {
    const n = 200_000;
    const moments = (t: Tensor) => [t.mean().item(), t.variance().item()];
    tidy(() => {
      const [mean, variance] = moments(rand([n], { seed: 1, dtype: 'float64' })) as [
        number,
        number,
      ];
      // Six standard errors of the mean and, roughly, of the variance.
      const near = 6 / Math.sqrt(n);
      expect(Math.abs(mean - 0.5)).toBeLessThan(near * Math.sqrt(1 / 12));
      expect(Math.abs(variance - 1 / 12)).toBeLessThan(near * 0.1);
      const [center, spread] = moments(randn([n], { seed: 2 })) as [number, number];
      expect(Math.abs(center)).toBeLessThan(near);
      expect(Math.abs(spread - 1)).toBeLessThan(near * Math.SQRT2);
      expect(Math.abs(bernoulli(0.3, [n], { seed: 3 }).mean().item() - 0.3)).toBeLessThan(near / 2);
      const sorted = values(permutation(1000, { seed: 4 })).sort((a, b) => a - b);
      expect(sorted).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    });
  });

  test('that are refused', () => {
    expect(codeOf(() => rand([2], { dtype: 'int32' }))[0]).toBe('FLUXION_DTYPE_MISMATCH');
    expect(codeOf(() => bernoulli(1.5, [2]))[0]).toBe('FLUXION_INVALID_ARGUMENT');
    expect(codeOf(() => randint(3, 3, [2]))[0]).toBe('FLUXION_INVALID_ARGUMENT');
    expect(codeOf(() => rand([2], { seed: -1 }))[0]).toBe('FLUXION_INVALID_ARGUMENT');
    expect(codeOf(() => manualSeed(0.5))[0]).toBe('FLUXION_INVALID_ARGUMENT');
  });
});

describe('devices and settings', () => {
  test('cpu is there; cuda says why it is not', () => {
    expect(devices()[0]).toMatchObject({ device: 'cpu' });
    const { cuda, instructionSets, instructionSet } = config();
    expect(instructionSets).toContain(instructionSet);
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
    expect(tensor([1]).to('cpu').device).toBe('cpu');
    if (cuda.available) return;
    expect(cuda.reason).toBeTruthy();
    expect(codeOf(() => zeros([1], { device: 'cuda' }))).toEqual(['FLUXION_UNSUPPORTED', 'zeros']);
    expect(codeOf(() => tensor([1]).to('cuda:0'))).toEqual(['FLUXION_UNSUPPORTED', 'to']);
  });

  test('threads are checked', () => {
    for (const count of [0, -1, 1.5, NaN, '2', 1e6]) {
      expect(codeOf(() => setNumThreads(count as number))[0]).toBe('FLUXION_INVALID_ARGUMENT');
    }
  });
});
