import { memory } from '../../lib/tensor/tensor';
import type { Tensor } from '../../lib/tensor/tensor';
import { tensor } from '../../lib/ops';
import {
  DataLoader,
  type DataLoaderOptions,
  type HostArray,
  Random,
  type PixelTransform,
  compose,
  gaussianNoise,
  normalize,
  randomCrop,
  randomHorizontalFlip,
  randomVerticalFlip,
  scaleImages,
} from '../../lib/data';

const N = 10;
const arrays: HostArray[] = [
  { data: Float32Array.from({ length: 2 * N }, (_, i) => i), shape: [N, 2] },
  { data: Int32Array.from({ length: N }, (_, i) => i), shape: [N] },
];

/** Labels of the batches; checks that each row of the first array belongs to its label. */
async function labels(batches: AsyncIterable<Tensor[]>): Promise<number[][]> {
  const result: number[][] = [];
  for await (const [x, y] of batches) {
    const values = [...y!.dataSync()];
    expect(y!.dtype).toBe('int32');
    expect(x!.shape).toEqual([values.length, 2]);
    expect([...x!.dataSync()]).toEqual(values.flatMap((i) => [2 * i, 2 * i + 1]));
    result.push(values);
    x!.dispose();
    y!.dispose();
  }
  return result;
}

const loader = (options?: DataLoaderOptions) => new DataLoader({ arrays }, options);

describe('order', () => {
  test('in sequence', async () => {
    const inOrder = loader({ batchSize: 4 });
    expect(inOrder.length).toBe(3);
    expect(await labels(inOrder)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    const dropped = loader({ batchSize: 4, dropLast: true });
    expect(dropped.length).toBe(2);
    expect(await labels(dropped)).toHaveLength(2);
  });

  test('shuffled: a permutation, another one in each epoch, the same for the same seed', async () => {
    const first = loader({ batchSize: 3, shuffle: true, seed: 5 });
    const epochs = [await labels(first), await labels(first)];
    expect(first.epoch).toBe(2);
    for (const epoch of epochs) {
      expect(epoch.flat().sort((a, b) => a - b)).toEqual([...Array(N).keys()]);
    }
    expect(epochs[0]).not.toEqual(epochs[1]);
    const second = loader({ batchSize: 3, shuffle: true, seed: 5, prefetch: 0 });
    second.epoch = 1;
    expect(await labels(second)).toEqual(epochs[1]);
    expect(await labels(second.batches({ epoch: 0, from: 2 }))).toEqual(epochs[0]!.slice(2));
    const other = loader({ batchSize: 3, shuffle: true });
    other.loadStateDict(first.stateDict());
    expect(await labels(other)).toEqual(epochs[0]);
  });

  test('state of other data is refused', () => {
    expect(() => loader({ batchSize: 2 }).loadStateDict(loader().stateDict())).toThrow(
      'batches of 2',
    );
  });
});

describe('sources', () => {
  test('tensors', async () => {
    const tensors = arrays.map(({ data, shape }) => tensor(data, { shape: [...shape] }));
    expect(await labels(new DataLoader({ tensors }, { batchSize: 5 }))).toHaveLength(2);
  });

  test('a data set, synchronous or not', async () => {
    const get = (i: number) => [{ data: Float32Array.of(2 * i, 2 * i + 1), shape: [2] }, i];
    expect(await labels(new DataLoader({ length: N, get }, { batchSize: 6 }))).toEqual([
      [0, 1, 2, 3, 4, 5],
      [6, 7, 8, 9],
    ]);
    const later = { length: N, get: (i: number) => Promise.resolve(get(i)) };
    expect(await labels(new DataLoader(later, { batchSize: 6 }))).toHaveLength(2);
  });

  test('an error of the data set reaches the loop', async () => {
    const get = (i: number) => {
      if (i === 5) throw new Error('no sample 5');
      return [{ data: Float32Array.of(2 * i, 2 * i + 1), shape: [2] }, i];
    };
    await expect(labels(new DataLoader({ length: N, get }, { batchSize: 2 }))).rejects.toThrow(
      'no sample 5',
    );
  });
});

describe('prefetch', () => {
  test('is bounded and stops when the loop is left', async () => {
    let asked = 0;
    const get = (i: number) => {
      asked++;
      return [{ data: Float32Array.of(2 * i, 2 * i + 1), shape: [2] }, i];
    };
    const data = new DataLoader({ length: 100, get }, { prefetch: 3 });
    const { tensors } = memory();
    for await (const batch of data) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      batch.forEach((t) => t.dispose());
      break;
    }
    expect(asked).toBeLessThanOrEqual(1 + 3);
    const before = asked;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(asked).toBe(before);
    expect(memory().tensors).toBeLessThanOrEqual(tensors);
  });

  test('leaves the event loop its turn', async () => {
    let turns = 0;
    let running = true;
    const turn = () => {
      turns++;
      if (running) setImmediate(turn);
    };
    setImmediate(turn);
    await labels(loader({ batchSize: 1 }));
    running = false;
    expect(turns).toBeGreaterThanOrEqual(N);
  });
});

describe('transforms', () => {
  const images: HostArray = {
    data: Uint8Array.from({ length: 2 * 12 }, (_, i) => i),
    shape: [2, 3, 4],
  };
  const run = async (transform: DataLoaderOptions['transform'], seed = 1) => {
    const data = new DataLoader({ arrays: [images] }, { batchSize: 2, seed, transform });
    const batches: Tensor[] = [];
    for await (const [batch] of data) batches.push(batch!);
    return batches[0]!;
  };

  const f = Math.fround;

  test('scaleImages', async () => {
    const scaled = await run(scaleImages({ mean: 0.5, std: 2 }));
    expect(scaled.shape).toEqual([2, 1, 3, 4]);
    expect(scaled.dataSync()[23]).toBe(f(f(f(23 / 255) - 0.5) / 2));
  });

  test('normalize: each channel by its own numbers, on the device and on the host to the same bits', async () => {
    const rgb: HostArray = {
      data: Uint8Array.from({ length: 256 * 3 }, (_, i) => i % 256),
      shape: [1, 3, 16, 16],
    };
    const [mean, std] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ];
    const first = async (transform: DataLoaderOptions['transform'], array = rgb) => {
      for await (const [batch] of new DataLoader({ arrays: [array] }, { transform })) return batch!;
      throw new Error('no batch');
    };
    const onDevice = await first(normalize(mean, std));
    const onHost = await first([normalize(mean, std), (batch) => batch]);
    const expected = Array.from({ length: 768 }, (_, i) => {
      const c = Math.floor(i / 256);
      return f(f(f((i % 256) / 255) - f(mean[c]!)) / f(std[c]!));
    });
    expect([...onDevice.dataSync()]).toEqual(expected);
    expect([...onHost.dataSync()]).toEqual(expected);
    const floats = { data: Float32Array.of(1, 2, 3), shape: [1, 3, 1, 1] };
    const two = await first([normalize(1, 2), normalize(mean, std)], floats);
    const twoOnHost = await first([normalize(1, 2), normalize(mean, std), (b) => b], floats);
    expect([...two.dataSync()]).toEqual([...twoOnHost.dataSync()]);
    expect(two.dataSync()[2]).toBe(f(f(1 - f(0.406)) / f(0.225)));
    await expect(first(normalize([1, 2], 1))).rejects.toThrow(
      'mean must have one value or one for each of the 3 channels, got 2',
    );
  });

  test('are the same for the same seed, whatever was drawn before', async () => {
    const noisy = [scaleImages(), randomCrop(3, { padding: 1 }), gaussianNoise(0.1)];
    const [a, b, c] = [await run(noisy), await run(noisy), await run(noisy, 2)];
    expect([...a.dataSync()]).toEqual([...b.dataSync()]);
    expect([...a.dataSync()]).not.toEqual([...c.dataSync()]);
  });

  test('what is drawn belongs to the sample, whatever its batch', async () => {
    const rows = async (batchSize: number) => {
      const transform = compose(randomHorizontalFlip(), randomCrop(2), gaussianNoise(1));
      const data = new DataLoader({ arrays: [images] }, { batchSize, seed: 4, transform });
      const values: number[] = [];
      for await (const [batch] of data) values.push(...batch!.dataSync());
      return values;
    };
    expect(await rows(1)).toEqual(await rows(2));
  });

  /** All results that a transform has for the second image, over many seeds. */
  const outcomes = async (transform: PixelTransform) => {
    const seen = new Map<string, number>();
    for (let seed = 0; seed < 300; seed++) {
      const data = (await run(transform, seed)).dataSync();
      const text = data.subarray(data.length / 2).join();
      seen.set(text, (seen.get(text) ?? 0) + 1);
    }
    return seen;
  };

  test('randomCrop: every place with padding, and no other', async () => {
    const seen = await outcomes(randomCrop([3, 4], { padding: 1 }));
    expect(seen.size).toBe(3 * 3);
    expect([...seen.keys()]).toContain('0,0,0,0,0,12,13,14,0,16,17,18');
    expect([...seen.keys()]).toContain('17,18,19,0,21,22,23,0,0,0,0,0');
    expect([...(await outcomes(randomCrop(3))).keys()].sort()).toEqual([
      '12,13,14,16,17,18,20,21,22',
      '13,14,15,17,18,19,21,22,23',
    ]);
  });

  test.each([
    ['horizontal', randomHorizontalFlip(0.25), '15,14,13,12,19,18,17,16,23,22,21,20'],
    ['vertical', randomVerticalFlip(0.25), '20,21,22,23,16,17,18,19,12,13,14,15'],
  ])('%s flip with its probability', async (_, transform, flipped) => {
    const seen = await outcomes(transform);
    expect(seen.size).toBe(2);
    expect(Math.abs(seen.get(flipped)! - 75)).toBeLessThan(30); // 4 sigma
  });

  test('gaussianNoise has its deviation and differs between arrays; other arrays stay', async () => {
    const zeros = { data: new Float32Array(4096), shape: [1, 64, 64] };
    const transform = gaussianNoise(0.5, { arrays: [0, 2] });
    const data = new DataLoader({ arrays: [zeros, zeros, zeros] }, { seed: 1, transform });
    for await (const batch of data) {
      const [a, b, c] = batch.map((t) => t.dataSync());
      const power = Array.from(a!).reduce((sum, x) => sum + x * x, 0) / 4096;
      expect(Math.abs(power / 0.25 - 1)).toBeLessThan(0.09); // 4 sigma
      expect(b!.every((x) => x === 0)).toBe(true);
      expect([...a!]).not.toEqual([...c!]);
    }
  });

  test('image and target move alike', async () => {
    const target = { data: images.data.map((x) => x + 100), shape: images.shape };
    const both = { arrays: [0, 1] };
    const transform = [randomCrop(2, { padding: 1, ...both }), randomHorizontalFlip(0.5, both)];
    const data = new DataLoader({ arrays: [images, target] }, { batchSize: 2, transform });
    for await (const [x, y] of data) {
      const expected = x!.dataSync().map((value) => (value === 0 ? 0 : value + 100));
      // Zeros of the padding are zeros of the target; the first pixel is a 0 too.
      const got = y!.dataSync().map((value) => (value === 100 ? 0 : value));
      expect([...got]).toEqual([...expected]);
    }
  });

  test.each<[string, () => unknown]>([
    ['std must be a finite number > 0', () => normalize(0, 0)],
    ['mean must be a finite number', () => normalize([0, NaN], 1)],
    ['size must be an integer > 0', () => randomCrop(0)],
    ['padding must be an integer >= 0', () => randomCrop(2, { padding: -1 })],
    ['p must be a number in [0, 1]', () => randomHorizontalFlip(2)],
    ['sigma must be a finite number >= 0', () => gaussianNoise(-1)],
    ['arrays must be a list', () => randomVerticalFlip(0.5, { arrays: [-1] })],
    ["no option 'shift'", () => randomCrop(2, { shift: 1 } as never)],
  ])('a bad option is named: %s', (message, make) => {
    expect(make).toThrow(message);
  });

  test('what is no image is an error', async () => {
    const flat = { data: new Float32Array(4), shape: [2, 2] };
    for (const transform of [normalize(0, 1), randomCrop(1)]) {
      const data = new DataLoader({ arrays: [flat] }, { transform });
      await expect(labels(data)).rejects.toThrow('must be images [N, H, W] or [N, C, H, W]');
    }
  });
});

describe('Random', () => {
  test('is uniform and normal', () => {
    const random = new Random(3);
    const counts = new Array<number>(7).fill(0);
    let [sum, squares] = [0, 0];
    for (let i = 0; i < 70000; i++) {
      counts[random.below(7)]!++;
      const x = random.normal();
      sum += x;
      squares += x * x;
    }
    for (const count of counts) expect(Math.abs(count - 10000)).toBeLessThan(400); // 4 sigma
    expect(Math.abs(sum / 70000)).toBeLessThan(0.016);
    expect(squares / 70000).toBeCloseTo(1, 1);
  });

  test('streams of neighbouring names differ', () => {
    const names = [[0], [1], [0, 0], [0, 1], [1, 0], [2 ** 40], [2 ** 40 + 1], [2 ** 32]];
    const first = names.map((name) => new Random(...name).uint32());
    expect(new Set(first).size).toBe(names.length);
  });
});

test.each<[string, () => unknown]>([
  ['batchSize', () => loader({ batchSize: 0 })],
  ['seed', () => loader({ seed: 0.5 })],
  ['prefetch', () => loader({ prefetch: -1 })],
  ["no option 'batch'", () => loader({ batch: 1 } as never)],
  ['source must be', () => new DataLoader({ arrays: [] })],
  [
    'first sizes',
    () => new DataLoader({ arrays: [arrays[0]!, { data: new Int32Array(3), shape: [3] }] }),
  ],
])('a bad option is named: %s', (message, make) => {
  expect(make).toThrow(message);
  expect(make).toThrow(expect.objectContaining({ name: 'FluxionError' }) as Error);
});
