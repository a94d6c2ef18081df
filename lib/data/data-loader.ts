import { setImmediate } from 'node:timers/promises';
import { FluxionError, requireArgument, show } from '../errors';
import { type DType, dtypeOfArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { BatchMaker, type Dataset, type MakerSource, type Stage } from './batch-maker';
import { DeviceNormalization, splitStages } from './device-normalize';
import type { HostArray } from './host-array';
import { LoaderPool, abandonedPools } from './loader-pool';
import type { ModuleReference } from './module-reference';
import { Random } from './random';
import { SpareBuffers } from './spare-buffers';
import { type BatchPlace, type Transform, stagesOf } from './transform';

/**
 * Where samples come from; the first dimension of tensors and arrays counts the samples. A module makes the
 * Dataset by its function, which workers can call too.
 */
export type DataSource =
  | { tensors: readonly Tensor[] }
  | { arrays: readonly HostArray[] }
  | Dataset
  | (ModuleReference & { length: number });

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
  /**
   * Worker threads that gather samples and apply transforms; the batches are the same bits for any number.
   * Default 0: the main thread does it, between its other work. One pays where transforms or a Dataset take
   * longer than a training step; gathering arrays and normalizing does not.
   */
  workers?: number;
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

/** A batch on its way: its arrays, and what to do once they have been read. */
interface Prepared {
  arrays: HostArray[];
  recycle?(arrays: readonly HostArray[]): void;
}

/**
 * Batches of a data set as tensors: an asynchronous iterable.
 *
 * The order of an epoch depends on the seed and the epoch only, what a built-in transform draws for a sample on
 * the seed, the epoch and the sample: a run can be resumed anywhere, with any number of workers, to the same
 * bits. Batches are made while the event loop is free or in worker threads, at most `prefetch` ahead, in host
 * memory; they become tensors when they are asked for. The tensors belong to the consumer, who disposes of
 * them (train.fit does).
 *
 * Leaving the loop early is fine: what is not begun is not made. Workers serve all epochs, keep the process
 * alive only while they make a batch, and end with {@link close} or when the loader is collected. With
 * workers, arrays are copied once into shared memory unless they are there; functions cannot be sent, so a
 * Dataset or a transform of one's own is given by module (refused otherwise). An error in a worker is thrown
 * by the loop as a FluxionError.
 *
 * @example
 * for await (const [images, labels] of new DataLoader({ tensors: [x, y] }, { batchSize: 128, shuffle: true }))
 *   tidy(() => ...);
 */
export class DataLoader implements BatchSource {
  /** The epoch of the next iteration; grows by one with each. */
  epoch = 0;
  private readonly options: Required<DataLoaderOptions>;
  private readonly stages: ReturnType<typeof splitStages>;
  private readonly samples: number;
  private source: Promise<MakerSource> | null = null;
  private maker: BatchMaker | null = null;
  private pool: LoaderPool | null = null;
  private readonly spare = new SpareBuffers();

  constructor(
    private readonly given: DataSource,
    options?: DataLoaderOptions,
  ) {
    this.options = withDefaults<Required<DataLoaderOptions>>('DataLoader', options, {
      batchSize: 1,
      shuffle: false,
      seed: Math.floor(Math.random() * 2 ** 48),
      dropLast: false,
      prefetch: 2,
      transform: [],
      workers: 0,
    });
    requireInteger('batchSize', this.options.batchSize, 1);
    requireInteger('seed', this.options.seed, 0);
    requireInteger('prefetch', this.options.prefetch, 0);
    requireInteger('workers', this.options.workers, 0);
    const stages = stagesOf(this.options.transform);
    this.samples = countSamples(given);
    if (this.options.workers > 0) requireSendable(given, stages);
    this.stages = splitStages(stages);
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
    const source = await (this.source ??= this.readSource());
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const normalizations = this.stages.device.map((stage) => new DeviceNormalization(stage));
    const ready: Promise<Prepared>[] = [];
    let next = from;
    let before: Promise<unknown> = Promise.resolve();
    const prepare = (batch: number) => {
      const place = this.place(order, epoch, batch);
      const made =
        this.options.workers > 0
          ? this.inWorker(source, place, batch, stop)
          : before.then(() => (stop[0] ? { arrays: [] } : this.inTurn(source, place, batch)));
      before = made.catch(() => undefined);
      return made;
    };
    const fill = () => {
      while (next < this.length && ready.length <= this.options.prefetch)
        ready.push(prepare(next++));
    };
    try {
      for (fill(); ready.length > 0; fill()) {
        const made = await ready.shift()!;
        const batch = toTensors(made.arrays, normalizations);
        made.recycle?.(made.arrays);
        yield batch;
      }
    } finally {
      Atomics.store(stop, 0, 1);
      for (const stage of normalizations) stage.dispose();
    }
  }

  /** Ends the worker threads. The loader starts new ones when it is used again. */
  async close(): Promise<void> {
    const { pool } = this;
    this.pool = null;
    if (!pool) return;
    abandonedPools.unregister(this);
    await pool.close();
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

  private order(epoch: number): Uint32Array {
    if (this.options.shuffle) return new Random(this.options.seed, epoch).permutation(this.samples);
    return Uint32Array.from({ length: this.samples }, (_, i) => i);
  }

  private place(order: Uint32Array, epoch: number, batch: number): BatchPlace {
    const { batchSize, seed } = this.options;
    const begin = batch * batchSize;
    return { seed, epoch, indices: order.slice(begin, begin + batchSize) };
  }

  /** Between other work of the main thread. */
  private async inTurn(source: MakerSource, place: BatchPlace, batch: number): Promise<Prepared> {
    await setImmediate();
    this.maker ??= new BatchMaker(source, this.stages.host);
    // A function may keep the arrays that it was given: theirs are not used again.
    if (!this.stages.host.every((stage) => 'kind' in stage))
      return { arrays: await this.maker.make(place, batch) };
    const { allocate, issued } = this.spare.lend();
    const arrays = await this.maker.make(place, batch, allocate);
    return { arrays, recycle: () => this.spare.keep(issued) };
  }

  private async inWorker(
    source: MakerSource,
    place: BatchPlace,
    batch: number,
    stop: Int32Array,
  ): Promise<Prepared> {
    if (!this.pool) {
      this.pool = new LoaderPool({ source, stages: this.stages.host }, this.options.workers);
      abandonedPools.register(this, this.pool, this);
    }
    const worker = this.pool.workerFor(batch);
    const arrays = await worker.request({ place, batch, stop });
    return { arrays, recycle: (read) => worker.recycle(read) };
  }

  /** The samples on the host: tensors are read once and kept; for workers everything is shared memory. */
  private async readSource(): Promise<MakerSource> {
    const { given } = this;
    if ('module' in given) return { datasetModule: given };
    if ('get' in given) return { dataset: given };
    const arrays =
      'arrays' in given
        ? given.arrays
        : await Promise.all(
            given.tensors.map(async (t) => ({ data: await t.data(), shape: t.shape })),
          );
    return { arrays: this.options.workers > 0 ? arrays.map(toShared) : arrays };
  }
}

function toTensors(
  arrays: readonly HostArray[],
  normalizations: readonly DeviceNormalization[],
): Tensor[] {
  return noGrad(() =>
    tidy(() => {
      const batch = arrays.map(({ data, shape }) => new Tensor(upload(data, dtypeOf(data), shape)));
      for (const stage of normalizations) stage.apply(batch);
      return batch;
    }),
  );
}

/** Functions, and objects with methods, cannot be sent to a worker. */
function requireSendable(source: DataSource, stages: readonly Stage[]): void {
  requireArgument(
    !('get' in source),
    'DataLoader',
    'source must be tensors, arrays or { module, length } with workers > 0: a Dataset object cannot be sent to ' +
      'a worker; export a function that makes it from a module',
  );
  requireArgument(
    stages.every((stage) => typeof stage !== 'function'),
    'DataLoader',
    'transform must be built-in or { module, export, options } with workers > 0: a function cannot be sent to a ' +
      'worker; export a function that makes it from a module',
  );
}

function toShared({ data, shape }: HostArray): HostArray {
  if (data.buffer instanceof SharedArrayBuffer) return { data, shape };
  const shared = new (data.constructor as new (buffer: SharedArrayBuffer) => HostArray['data'])(
    new SharedArrayBuffer(data.byteLength),
  );
  shared.set(data);
  return { data: shared, shape };
}

function requireInteger(name: string, value: number, least: number): void {
  requireArgument(
    Number.isSafeInteger(value) && value >= least,
    'DataLoader',
    () => `${name} must be an integer >= ${least}, got ${show(value)}`,
  );
}

function countSamples(source: DataSource): number {
  if ('get' in source || 'module' in source) {
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

function dtypeOf(data: HostArray['data']): DType {
  const dtype = dtypeOfArray(data);
  requireArgument(
    dtype !== undefined,
    'DataLoader',
    () =>
      `a sample must be a Float32Array, Float64Array, Int32Array or Uint8Array, got ${show(data)}`,
  );
  return dtype;
}
