import { setImmediate } from 'node:timers/promises';
import { FluxionError, requireArgument } from '../errors';
import { type GeneratorState, generatorState, setGeneratorState } from '../tensor/generator';
import { type Tensor, isTensor } from '../tensor/tensor';
import { backward } from '../autograd/gradients';
import { noGrad, tidy } from '../autograd/tidy';
import type { BatchSource, DataLoaderState } from '../data';
import { type PlateauState, ReduceLROnPlateau, type SchedulerState, clipGradNorm } from '../optim';
import { type Callbacks, type StepRecord, combineCallbacks } from './callbacks';
import type { Checkpoint } from './checkpoint';
import { readCheckpoint, writeCheckpoint } from './checkpoint';
import { CapturedFit } from './captured-fit';
import { checkOptions, type FitOptions } from './fit-options';
import type { EpochRecord, History } from './history';
import { type Model, RunningMeans, apply, evaluate, onDeviceOf, readNumbers, split } from './metrics';
import { type PackedOptimizer, packOptimizer, tensorOf, unpackOptimizer } from './packing';
import { Progress } from './progress';

/**
 * Trains a model: for each batch forward, loss, backward, optimizer, scheduler.
 *
 * The event loop stays free: operations run on the device's threads, their results are awaited, and other
 * work has its turn between forward, backward and update. The loss of a step is read while the next one is
 * computed. Batches and intermediate results are released.
 *
 * With `checkpoint`, a process that is killed at any moment leaves a complete checkpoint, and running the
 * same program again continues from it, in the middle of an epoch too, to the same weights bit for bit.
 *
 * When `signal` aborts, the promise resolves with the history so far and `aborted: true`, and a checkpoint
 * is written. Errors: those of the operations; FLUXION_CORRUPT_FILE for a damaged checkpoint.
 */
export async function fit(
  model: Model,
  loader: BatchSource,
  options: FitOptions,
): Promise<History> {
  checkOptions(options);
  return new Fit(model, loader, options).run();
}

/** Waits for the queue. Faults that a failed step left in it must not appear in a later read of others. */
async function drain(): Promise<void> {
  const last = tensorOf([0]);
  await last.data().catch(() => undefined);
  last.dispose();
}

/** What a checkpoint holds besides tensors. */
interface FitState {
  epoch: number;
  batch: number;
  seconds: number;
  means: ReturnType<RunningMeans['state']>;
  epochs: EpochRecord[];
  generator: GeneratorState;
  optimizer: PackedOptimizer;
  scheduler: SchedulerState | PlateauState | null;
  loader: DataLoaderState | null;
}

class Fit {
  private readonly history: History = { epochs: [], losses: [], learningRates: [], aborted: false };
  private readonly means = new RunningMeans();
  private readonly progress: Progress;
  private readonly callbacks: Required<Callbacks>;
  private captured: CapturedFit | null = null;
  /** The next batch. */
  private epoch = 0;
  private batch = 0;
  /** Time spent on the current epoch before `since`. */
  private seconds = 0;
  private since = performance.now();
  /** The numbers of the last step are on their way. */
  private arriving: Promise<void> = Promise.resolve();
  /** The place that the newest checkpoint has. */
  private saved = '';

  constructor(
    private readonly model: Model,
    private readonly loader: BatchSource,
    private readonly options: FitOptions,
  ) {
    this.callbacks = combineCallbacks(options.callbacks);
    this.progress = new Progress(options, options.epochs, loader.length);
  }

  async run(): Promise<History> {
    await this.restore();
    this.model.train();
    this.captured = this.options.capture ? this.newCapture() : null;
    this.since = performance.now();
    try {
      await this.callbacks.onStart({ step: this.steps, epoch: this.epoch });
      while (this.epoch < this.options.epochs && !this.aborted) await this.runEpoch();
      await this.save();
    } catch (error) {
      await drain();
      throw error;
    } finally {
      this.progress.stop();
      this.captured?.dispose();
      this.options.optimizer.zeroGrad();
      await this.callbacks.onEnd();
    }
    this.history.aborted = this.epoch < this.options.epochs;
    return this.history;
  }

  private newCapture(): CapturedFit {
    const device = this.model.parameters()[0]?.device ?? 'cpu';
    return new CapturedFit(this.model, this.options, device);
  }

  private get aborted(): boolean {
    return this.options.signal?.aborted ?? false;
  }

  /** Number of steps done. */
  private get steps(): number {
    return this.history.learningRates.length;
  }

  private get place(): string {
    return `${this.epoch}/${this.batch}`;
  }

  private async runEpoch(): Promise<void> {
    const every = this.options.checkpoint?.every ?? { epochs: 1 };
    const { epoch, batch: from } = this;
    for await (const batch of this.loader.batches({ epoch, from })) {
      await this.step(batch);
      if ('steps' in every && this.steps % every.steps === 0) await this.save();
      if (this.aborted) break;
    }
    await this.arriving;
    if (this.batch < this.loader.length) {
      requireArgument(
        this.aborted,
        'fit',
        () => `loader must give its ${this.loader.length} batches, got ${this.batch}`,
      );
      return;
    }
    await this.endEpoch();
    if (this.batch === 0 && 'epochs' in every && this.epoch % every.epochs === 0) await this.save();
  }

  private async step(given: readonly Tensor[]): Promise<void> {
    const { learningRate } = this.options.optimizer;
    const batch = onDeviceOf(this.model, given);
    const samples = split(batch).target.shape[0] ?? 1;
    let numbers: Promise<Record<string, number>>;
    try {
      numbers = this.captured?.takes(batch)
        ? readNumbers(this.captured.run(batch))
        : (await this.runStep(batch)).numbers;
    } finally {
      for (const tensor of batch) tensor.dispose();
    }
    this.schedule('step');
    this.batch++;
    this.history.learningRates.push(learningRate);
    // Wait for the step before, not for this one: the device is never without work.
    await this.arriving;
    const place = { step: this.steps, epoch: this.epoch + 1, learningRate };
    const batchNumber = this.batch;
    this.arriving = numbers.then((values) => this.arrive(values, samples, batchNumber, place));
    this.arriving.catch(() => undefined);
  }

  /** A step operation by operation; other work has its turn in between. */
  private async runStep(
    batch: readonly Tensor[],
  ): Promise<{ numbers: Promise<Record<string, number>> }> {
    const { optimizer, maxGradNorm } = this.options;
    optimizer.zeroGrad();
    const result = await this.forwardBackward(batch);
    await setImmediate();
    if (maxGradNorm !== undefined) clipGradNorm(optimizer.parameters(), maxGradNorm).dispose();
    optimizer.step();
    return result;
  }

  /** Moves the learning rate on after a step, or after an epoch with the figures that it came to. */
  private schedule(interval: 'step' | 'epoch', figures: Record<string, number> = {}): void {
    const { scheduler, schedulerInterval = 'step', schedulerMetric = 'loss' } = this.options;
    if (scheduler instanceof ReduceLROnPlateau) {
      if (interval === 'epoch') scheduler.step(figures[schedulerMetric]!);
    } else if (interval === schedulerInterval) scheduler?.step();
  }

  /** Leaves the gradients in the parameters; the loss and the metrics are on their way. */
  private async forwardBackward(
    batch: readonly Tensor[],
  ): Promise<{ numbers: Promise<Record<string, number>> }> {
    const { inputs, target } = split(batch);
    let numbers!: Promise<Record<string, number>>;
    const loss = tidy(() => {
      const output = this.model.forward(...inputs);
      const value = this.options.loss(output, target);
      const metrics = noGrad(() => apply(this.options.metrics ?? {}, output, target));
      numbers = readNumbers({ loss: value, ...metrics });
      return value;
    });
    try {
      await setImmediate();
      backward(loss);
    } finally {
      loss.dispose();
    }
    return { numbers };
  }

  private arrive(
    { loss, ...metrics }: Record<string, number>,
    samples: number,
    batch: number,
    place: Omit<StepRecord, 'loss' | 'metrics'>,
  ): void {
    this.history.losses.push(loss!);
    this.means.add(samples, { loss: loss!, ...metrics });
    this.progress.update(place.epoch - 1, batch, loss!);
    this.callbacks.onStep({ ...place, loss: loss!, metrics });
  }

  private async endEpoch(): Promise<void> {
    const { validation, loss, metrics = {}, signal, optimizer } = this.options;
    const validated =
      validation && (await evaluate(this.model, validation, { loss, metrics, signal }));
    if (validated && this.aborted) return; // the validation is not complete; a resumed run does it again
    const { loss: meanLoss = NaN, ...means } = this.means.get();
    this.schedule('epoch', validated ?? { loss: meanLoss, ...means });
    const record: EpochRecord = {
      epoch: this.epoch + 1,
      loss: meanLoss,
      metrics: means,
      ...(validated ? { validation: validated } : {}),
      learningRate: optimizer.learningRate,
      seconds: this.elapsed(),
    };
    this.history.epochs.push(record);
    this.epoch++;
    this.batch = 0;
    this.means.restore({ samples: 0, sums: {} });
    this.seconds = 0;
    this.since = performance.now();
    this.progress.endEpoch(record);
    await this.callbacks.onEpoch(record, this.history);
  }

  private elapsed(): number {
    return this.seconds + (performance.now() - this.since) / 1000;
  }

  private async save(): Promise<void> {
    await this.arriving;
    const { checkpoint, optimizer, scheduler } = this.options;
    if (!checkpoint || this.saved === this.place) return;
    const { packed, tensors } = packOptimizer(optimizer);
    const state: FitState = {
      epoch: this.epoch,
      batch: this.batch,
      seconds: this.elapsed(),
      means: this.means.state(),
      epochs: this.history.epochs,
      generator: generatorState(),
      optimizer: packed,
      scheduler: scheduler?.stateDict() ?? null,
      loader: this.loader.stateDict?.() ?? null,
    };
    const history = {
      losses: tensorOf(this.history.losses),
      learningRates: tensorOf(this.history.learningRates),
    };
    const all = { model: this.model.stateDict(), optimizer: tensors, history };
    const written = writeCheckpoint(checkpoint.path, this.steps, { tensors: all, state });
    for (const tensor of Object.values(history)) tensor.dispose();
    await written;
    this.saved = this.place;
  }

  private async restore(): Promise<void> {
    const { checkpoint } = this.options;
    if (!checkpoint || checkpoint.resume === false) return;
    const found = await readCheckpoint(checkpoint.path);
    if (!found) return;
    try {
      await this.take(found);
      this.progress.note(`continuing after step ${this.steps}, from ${checkpoint.path}`);
    } catch (error) {
      if (!(error instanceof FluxionError)) throw error;
      const detail = `the checkpoint ${checkpoint.path} is of another run (${error.message})`;
      const remedy = 'give another path, or resume: false to replace it';
      throw new FluxionError(error.code, 'fit', `${detail}; ${remedy}`, { cause: error });
    } finally {
      for (const tensors of Object.values(found.tensors)) {
        for (const tensor of Object.values(tensors)) if (isTensor(tensor)) tensor.dispose();
      }
    }
  }

  private async take({ tensors, state: given }: Checkpoint): Promise<void> {
    const state = given as FitState;
    const { optimizer, scheduler } = this.options;
    if (state.loader) this.loader.loadStateDict?.(state.loader);
    this.model.loadStateDict(tensors.model ?? {});
    optimizer.loadStateDict(unpackOptimizer(state.optimizer, tensors.optimizer ?? {}));
    requireArgument(
      (scheduler === undefined) === (state.scheduler === null),
      'fit',
      `the checkpoint was made ${state.scheduler ? 'with' : 'without'} a scheduler`,
    );
    // Which scheduler it was is not recorded; each refuses the state of the other kind.
    if (state.scheduler) scheduler?.loadStateDict(state.scheduler as SchedulerState & PlateauState);
    const { losses, learningRates } = tensors.history!;
    this.history.losses = Array.from(await losses!.data());
    this.history.learningRates = Array.from(await learningRates!.data());
    this.history.epochs = state.epochs;
    this.means.restore(state.means);
    this.epoch = state.epoch;
    this.batch = state.batch;
    this.seconds = state.seconds;
    setGeneratorState(state.generator);
    this.saved = this.place;
  }
}
