// Worker threads run the compiled library: these tests use dist/, which the test run brings up to date.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type * as Fluxion from '../../lib';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const fluxion = require('../../dist/index.js') as typeof Fluxion;
const { data, memory } = fluxion;

const module_ = path.join(__dirname, 'programs/augment.cjs');
// Jest cannot import() modules in the main thread: there the same function is given as it is.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const augment = require('./programs/augment.cjs') as {
  shift(options: { by: number }): Fluxion.data.TransformFunction;
  samples(options: { length: number }): Fluxion.data.Dataset;
};
const N = 23;
const images: Fluxion.data.HostArray = {
  data: Uint8Array.from({ length: N * 2 * 6 * 7 }, (_, i) => (i * 37) % 256),
  shape: [N, 2, 6, 7],
};
const labels: Fluxion.data.HostArray = {
  data: Int32Array.from({ length: N }, (_, i) => i),
  shape: [N],
};
const arrays = [images, labels];

/** All bits of the batches. */
async function bitsOf(batches: AsyncIterable<Fluxion.Tensor[]>): Promise<string[]> {
  const bits: string[] = [];
  for await (const batch of batches) {
    for (const tensor of batch) {
      const values = tensor.dataSync();
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      bits.push(`${tensor.dtype} ${tensor.shape.join()} ${bytes.toString('hex')}`);
      tensor.dispose();
    }
  }
  return bits;
}

const loaders: Fluxion.data.DataLoader[] = [];
function loader(
  source: Fluxion.data.DataSource,
  options: Fluxion.data.DataLoaderOptions,
): Fluxion.data.DataLoader {
  const made = new data.DataLoader(source, options);
  loaders.push(made);
  return made;
}
afterAll(async () => {
  await Promise.all(loaders.map((made) => made.close()));
});

const augmented = [
  data.randomCrop([5, 4], { padding: 1 }),
  data.randomHorizontalFlip(),
  data.randomVerticalFlip(0.3),
];
type Transforms = Fluxion.data.DataLoaderOptions['transform'];
const CHAINS: [string, Transforms, Transforms?][] = [
  ['none', []],
  ['normalize', data.normalize([0.1, 0.2], [0.5, 0.25])],
  ['augmented, then normalized', [...augmented, data.scaleImages(), data.normalize(0.5, 2)]],
  ['normalized, then augmented', [data.scaleImages(), ...augmented, data.gaussianNoise(0.1)]],
  ['composed', data.compose(...augmented, data.gaussianNoise(0.2))],
  [
    'of a module',
    [data.scaleImages(), { module: module_, export: 'shift', options: { by: 2 } }],
    [data.scaleImages(), augment.shift({ by: 2 })],
  ],
];
test.each(CHAINS.map(([name, transform, inMain = transform]) => ({ name, transform, inMain })))(
  'batches are the same bits with 0, 1 and 2 workers: $name',
  async ({ transform, inMain }) => {
    const options = { batchSize: 4, shuffle: true, seed: 9 };
    const [none, one, two] = [0, 1, 2].map((workers) =>
      loader({ arrays }, { ...options, transform: workers === 0 ? inMain : transform, workers }),
    );
    for (let epoch = 0; epoch < 2; epoch++) {
      const expected = await bitsOf(none!);
      expect(await bitsOf(one!)).toEqual(expected);
      expect(await bitsOf(two!)).toEqual(expected);
    }
    const rest = await bitsOf(one!.batches({ epoch: 1, from: 3 }));
    expect(rest).toEqual(await bitsOf(none!.batches({ epoch: 1, from: 3 })));
  },
);

test('tensors, a data set of a module, and no prefetch', async () => {
  const tensors = arrays.map((array) => fluxion.tensor(array.data, { shape: [...array.shape] }));
  const source = { module: module_, export: 'samples', options: { length: 9 }, length: 9 };
  for (const [given, inMain] of [
    [{ tensors }, { tensors }],
    [source, augment.samples({ length: 9 })],
  ] as [Fluxion.data.DataSource, Fluxion.data.DataSource][]) {
    const options = { batchSize: 4, shuffle: true, seed: 1 };
    const expected = await bitsOf(loader(inMain, options));
    expect(await bitsOf(loader(given, { ...options, workers: 1, prefetch: 0 }))).toEqual(expected);
  }
  for (const tensor of tensors) tensor.dispose();
});

test('an error in the worker is thrown by the loop, with its own words; the next epoch works', async () => {
  const source = { module: module_, export: 'samples', options: { length: 9, bad: 5 }, length: 9 };
  const failing = loader(source, { batchSize: 2, workers: 1 });
  const error = (await bitsOf(failing).catch((e: unknown) => e)) as Fluxion.FluxionError;
  expect(error).toBeInstanceOf(fluxion.FluxionError);
  expect(error).toMatchObject({ code: 'FLUXION_INVALID_ARGUMENT', op: 'DataLoader' });
  expect(error.message).toContain('no sample 5');
  expect((error.cause as Error).stack).toContain('augment.cjs');
  const crop = loader({ arrays }, { transform: [data.randomCrop(9)], workers: 1 });
  await expect(bitsOf(crop)).rejects.toMatchObject({
    code: 'FLUXION_SHAPE_MISMATCH',
    op: 'randomCrop',
    message: 'randomCrop: size must fit into images of 6 x 7 with padding 0, got 9 x 9',
  });
  expect((await bitsOf(failing.batches({ from: 3 }))).length).toBe(4);
});

test('a worker that ends is an error, and is replaced', async () => {
  const dying = loader(
    { arrays },
    { batchSize: 4, workers: 1, transform: { module: module_, export: 'ends' } },
  );
  for (let i = 0; i < 2; i++) {
    await expect(bitsOf(dying)).rejects.toThrow('the worker ended with exit code 3');
  }
});

test.each([
  ['number', "exports a function 'number', got 7"],
  ['nothing', "exports a function 'nothing', got undefined"],
])('a module without the function is an error: %s', async (name, message) => {
  const options = { workers: 1, transform: { module: module_, export: name } };
  await expect(bitsOf(loader({ arrays }, options))).rejects.toThrow(message);
});

test('a module that is not there is an error', async () => {
  const transform = { module: './no-such-module.cjs' };
  await expect(bitsOf(loader({ arrays }, { workers: 1, transform }))).rejects.toThrow(
    "transform must be a module that exports a function 'default'",
  );
});

test('functions and objects are refused with workers', () => {
  const length = N;
  expect(() => new data.DataLoader({ arrays }, { workers: 1, transform: (x) => x })).toThrow(
    'a function cannot be sent to a worker',
  );
  expect(() => new data.DataLoader({ length, get: () => [1] }, { workers: 1 })).toThrow(
    'a Dataset object cannot be sent to a worker',
  );
  expect(() => new data.DataLoader({ arrays }, { workers: 0.5 })).toThrow('workers');
});

test('leaving early releases everything and the loader goes on', async () => {
  const leaving = loader({ arrays }, { batchSize: 2, workers: 1, prefetch: 3, seed: 1 });
  const { tensors } = memory();
  for (let i = 0; i < 5; i++) {
    for await (const batch of leaving.batches({ epoch: 0 })) {
      batch.forEach((t) => t.dispose());
      break;
    }
  }
  expect(memory().tensors).toBe(tensors);
  const again = loader({ arrays }, { batchSize: 2, seed: 1 });
  expect(await bitsOf(leaving.batches({ epoch: 0 }))).toEqual(
    await bitsOf(again.batches({ epoch: 0 })),
  );
  await leaving.close();
  expect((await bitsOf(leaving.batches({ epoch: 0 }))).length).toBe(2 * 12);
});

test('arrays in shared memory are not copied', async () => {
  const shared = new Float32Array(new SharedArrayBuffer(4 * N));
  const following = loader(
    { arrays: [{ data: shared, shape: [N] }] },
    { workers: 1, batchSize: N },
  );
  for (const value of [1, 2]) {
    shared.fill(value);
    for await (const [batch] of following) expect(batch!.dataSync()[N - 1]).toBe(value);
  }
});

test('an idle loader lets the process end, and the main thread imports modules too', () => {
  const program = path.join(__dirname, 'programs/idle-loader.cjs');
  const result = spawnSync(process.execPath, [program], { encoding: 'utf8', timeout: 55_000 });
  expect({ ...result, pid: 0 }).toMatchObject({ status: 0, signal: null, stderr: '' });
  expect(result.stdout).toBe('0 10,2\n1 10,2\n2 [0,1,2,3]\n');
});
