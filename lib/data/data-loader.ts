import { setImmediate } from 'node:timers/promises';
import { FluxionError, requireArgument, show } from '../errors';
import { type TypedArray, dtypeOfArray, newTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sizeOf } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { Random } from './random';

/** An array in the memory of the host, in C order. */
export interface HostArray {
  data: TypedArray;
  shape: readonly number[];
}

/** Samples by index; each is a list of arrays, such as an image and a label (a number is an int32). */
export interface Dataset {
  readonly length: number;
  get(index: number): Sample | Promise<Sample>;
}
export type Sample = readonly (HostArray | number)[];

/** Where samples come from; the first dimension of tensors and arrays counts the samples. */
export type DataSource =
  { tensors: readonly Tensor[] } | { arrays: readonly HostArray[] } | Dataset;

/** Changes a batch before it becomes tensors; `random` is the same for the same seed, epoch and batch. */
export type Transform = (batch: HostArray[], random: Random) => HostArray[];

export interface DataLoaderOptions {
  /** Default 1. */
  batchSize?: number;
  /** Default false. */
  shuffle?: boolean;
  /** Seed of the order and of the transforms. Default: a random one. */
  seed?: number;
  /** Leaves out a last batch that is not full. Default false. */
  dropLast?: boolean;
  /** Number of batches prepared ahead. Default 2. */
  prefetch?: number;
  /** Augmentation, scaling: applied in order. */
  transform?: Transform | readonly Transform[];
}

/** Part of a training checkpoint. */
export interface DataLoaderState {
  seed: number;
  batchSize: number;
  samples: number;
}

/** What train.fit and train.evaluate read batches from. */
export interface BatchSource {
  /** Number of batches of an epoch. */
  readonly length: number;
  /** The batches of an epoch, from one of them on: the inputs of the model and, last, the target (one: both). */
  batches(place?: { epoch?: number; from?: number }): AsyncIterable<Tensor[]>;
  stateDict?(): DataLoaderState;
  loadStateDict?(state: DataLoaderState): void;
}

/**
 * Batches of a data set as tensors: an asynchronous iterable.
 *
 * The order of an epoch depends on the seed and the epoch only, so that a run can be resumed anywhere.
 * Batches are made while the event loop is free, at most `prefetch` ahead, in host memory; they become
 * tensors when they are asked for. The tensors belong to the consumer, who disposes of them (train.fit
 * does). Leaving the loop early is fine.
 *
 * @example
 * for await (const [images, labels] of new DataLoader({ tensors: [x, y] }, { batchSize: 128, shuffle: true }))
 *   tidy(() => ...);
 */
export class DataLoader implements BatchSource {
  /** The epoch of the next iteration; grows by one with each. */
  epoch = 0;
  private readonly options: Required<DataLoaderOptions>;
  private arrays: readonly HostArray[] | null = null;
  private reading: Promise<readonly HostArray[]> | null = null;
  private readonly transforms: readonly Transform[];
  private readonly samples: number;

  constructor(
    private readonly source: DataSource,
    options?: DataLoaderOptions,
  ) {
    this.options = withDefaults<Required<DataLoaderOptions>>('DataLoader', options, {
      batchSize: 1,
      shuffle: false,
      seed: Math.floor(Math.random() * 2 ** 48),
      dropLast: false,
      prefetch: 2,
      transform: [],
    });
    requireInteger('batchSize', this.options.batchSize, 1);
    requireInteger('seed', this.options.seed, 0);
    requireInteger('prefetch', this.options.prefetch, 0);
    const { transform } = this.options;
    this.transforms = typeof transform === 'function' ? [transform] : transform;
    this.samples = countSamples(source);
    if ('arrays' in source) this.arrays = source.arrays;
  }

  /** Number of batches of an epoch. */
  get length(): number {
    const { batchSize, dropLast } = this.options;
    return dropLast ? Math.floor(this.samples / batchSize) : Math.ceil(this.samples / batchSize);
  }

  /** The batches of the epoch {@link epoch}, which then moves on. */
  [Symbol.asyncIterator](): AsyncGenerator<Tensor[], void, undefined> {
    return this.batches({ epoch: this.epoch++ });
  }

  /** The batches of an epoch, from batch `from` on. */
  async *batches({ epoch = this.epoch, from = 0 } = {}): AsyncGenerator<Tensor[], void, undefined> {
    const order = this.order(epoch);
    const ready: Promise<HostArray[]>[] = [];
    let next = from;
    let before: Promise<unknown> = Promise.resolve();
    let stopped = false;
    const prepare = (batch: number) => {
      const made = before.then(() => (stopped ? [] : this.makeBatch(order, epoch, batch)));
      before = made.catch(() => undefined);
      return made;
    };
    const fill = () => {
      while (next < this.length && ready.length <= this.options.prefetch)
        ready.push(prepare(next++));
    };
    try {
      for (fill(); ready.length > 0; fill()) {
        const batch = await ready.shift()!;
        yield batch.map(({ data, shape }) => new Tensor(upload(data, dtypeOf(data), shape)));
      }
    } finally {
      stopped = true;
    }
  }

  stateDict(): DataLoaderState {
    const { seed, batchSize } = this.options;
    return { seed, batchSize, samples: this.samples };
  }

  /** Takes over the seed. Throws when the data set or the batch size is another one. */
  loadStateDict(state: DataLoaderState): void {
    const own = this.stateDict();
    requireArgument(
      state.batchSize === own.batchSize && state.samples === own.samples,
      'DataLoader',
      () =>
        `state must be of ${own.samples} samples in batches of ${own.batchSize}, ` +
        `got ${state.samples} in batches of ${state.batchSize}`,
    );
    requireInteger('seed', state.seed, 0);
    this.options.seed = state.seed;
  }

  private order(epoch: number): ArrayLike<number> {
    if (this.options.shuffle) return new Random(this.options.seed, epoch).permutation(this.samples);
    return Uint32Array.from({ length: this.samples }, (_, i) => i);
  }

  private async makeBatch(
    order: ArrayLike<number>,
    epoch: number,
    batch: number,
  ): Promise<HostArray[]> {
    await setImmediate();
    const { batchSize, seed } = this.options;
    const begin = batch * batchSize;
    const end = Math.min(begin + batchSize, this.samples);
    const indices = Array.from({ length: end - begin }, (_, i) => order[begin + i]!);
    const { source } = this;
    const arrays =
      'get' in source
        ? stack(await Promise.all(indices.map(async (index) => source.get(index))))
        : (await this.hostArrays()).map((array) => takeRows(array, indices));
    const random = new Random(seed, epoch, batch + 1);
    return this.transforms.reduce((value, transform) => transform(value, random), arrays);
  }

  /** Tensors are read once and kept on the host. */
  private async hostArrays(): Promise<readonly HostArray[]> {
    if (this.arrays) return this.arrays;
    const { tensors } = this.source as { tensors: readonly Tensor[] };
    this.reading ??= Promise.all(
      tensors.map(async (tensor) => ({ data: await tensor.data(), shape: tensor.shape })),
    );
    return (this.arrays = await this.reading);
  }
}

function requireInteger(name: string, value: number, least: number): void {
  requireArgument(
    Number.isSafeInteger(value) && value >= least,
    'DataLoader',
    () => `${name} must be an integer >= ${least}, got ${show(value)}`,
  );
}

function countSamples(source: DataSource): number {
  if ('get' in source) {
    requireInteger('length', source.length, 0);
    return source.length;
  }
  const list: readonly (Tensor | HostArray)[] =
    'tensors' in source ? source.tensors : source.arrays;
  requireArgument(
    list?.length > 0 && list.every((entry) => entry?.shape?.length > 0),
    'DataLoader',
    'source must be { tensors }, { arrays } with at least one dimension, or { length, get }',
  );
  requireArgument(
    !('tensors' in source) || source.tensors.every(isTensor),
    'DataLoader',
    'source.tensors must be tensors',
  );
  const sizes = list.map((entry) => entry.shape[0]!);
  if (!sizes.every((size) => size === sizes[0])) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'DataLoader',
      `the first sizes of the arrays must be equal, got ${show(sizes)}`,
    );
  }
  return sizes[0]!;
}

function dtypeOf(data: TypedArray) {
  const dtype = dtypeOfArray(data);
  requireArgument(
    dtype !== undefined,
    'DataLoader',
    () =>
      `a sample must be a Float32Array, Float64Array, Int32Array or Uint8Array, got ${show(data)}`,
  );
  return dtype;
}

/** Rows of an array, gathered. */
function takeRows({ data, shape }: HostArray, indices: readonly number[]): HostArray {
  const row = sizeOf(shape.slice(1));
  const taken = newTypedArray(dtypeOf(data), indices.length * row);
  indices.forEach((index, i) => taken.set(data.subarray(index * row, (index + 1) * row), i * row));
  return { data: taken, shape: [indices.length, ...shape.slice(1)] };
}

/** Samples as the rows of arrays. */
function stack(samples: readonly Sample[]): HostArray[] {
  return samples[0]!.map((first, part) => {
    const rows = samples.map((sample) => asArray(sample[part]));
    const { shape } = asArray(first);
    const row = sizeOf(shape);
    const data = newTypedArray(dtypeOf(asArray(first).data), rows.length * row);
    rows.forEach((entry, i) => {
      if (entry.data.length !== row) {
        throw new FluxionError(
          'FLUXION_SHAPE_MISMATCH',
          'DataLoader',
          `samples must have one shape, got ${show([...shape])} and ${show([...entry.shape])}`,
        );
      }
      data.set(entry.data, i * row);
    });
    return { data, shape: [rows.length, ...shape] };
  });
}

function asArray(part: HostArray | number | undefined): HostArray {
  if (typeof part === 'number') return { data: Int32Array.of(part), shape: [] };
  requireArgument(
    part !== undefined && ArrayBuffer.isView(part.data),
    'DataLoader',
    () => `a sample must be a list of { data, shape } and numbers, got ${show(part)}`,
  );
  return part;
}
