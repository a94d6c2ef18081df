import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { FluxionError, requireArgument, show } from '../errors';
import { isFloating } from '../tensor/dtype';
import { type Tensor, isTensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import type { Callbacks } from './callbacks';
import {
  type Message,
  frameRecord,
  histogramValue,
  imageValue,
  restartEvent,
  textValue,
  valueEvent,
  versionEvent,
} from './event-file';
import { pngCodec } from '../data/png-codec';

export interface TensorBoardOptions {
  /** Seconds after which events are on the disk at the latest. Default 2. */
  flushSeconds?: number;
  /** Earlier files of the folder count up to before this step only: where a run is resumed. Default: all of them. */
  purgeStep?: number | null;
}

let files = 0;

/** Buffered bytes that are written without waiting. */
const FULL = 1 << 16;

/**
 * Writes event files that TensorBoard reads: `tensorboard --logdir dir`.
 *
 * Each writer makes a file of its own in the folder and appends whole records to it: when they are 64 KiB, after
 * `flushSeconds`, at {@link flush}, {@link close} and the end of the process. A killed process loses at most what
 * was not flushed. Reading tensors for histograms and images does not block: they are written when they are there.
 */
export class TensorBoardWriter {
  /** The file that it writes. */
  readonly file: string;
  private readonly descriptor: number;
  private readonly flushMs: number;
  private buffered: Buffer[] = [];
  private bytes = 0;
  private timer: NodeJS.Timeout | null = null;
  private reading: Promise<void> = Promise.resolve();
  private closed = false;
  private readonly atExit = () => this.flushNow();

  constructor(folder: string, options?: TensorBoardOptions) {
    const { flushSeconds, purgeStep } = withDefaults<Required<TensorBoardOptions>>(
      'TensorBoardWriter',
      options,
      { flushSeconds: 2, purgeStep: null },
    );
    requireArgument(
      flushSeconds >= 0,
      'TensorBoardWriter',
      () => `flushSeconds must be a number >= 0, got ${show(flushSeconds)}`,
    );
    if (purgeStep !== null) requireStep(purgeStep);
    this.flushMs = 1000 * flushSeconds;
    const now = String(Math.floor(Date.now() / 1000)).padStart(10, '0');
    const name = `events.out.tfevents.${now}.${hostname()}.${process.pid}.${files++}`;
    mkdirSync(folder, { recursive: true });
    this.file = path.join(folder, name);
    this.descriptor = openSync(this.file, 'ax');
    process.on('exit', this.atExit);
    this.add(versionEvent(seconds()));
    if (purgeStep !== null) this.add(restartEvent(seconds(), purgeStep));
    this.flushNow();
  }

  /** A point of a curve. */
  addScalar(tag: string, value: number, step: number): void {
    requireTag(tag);
    requireStep(step);
    requireArgument(
      typeof value === 'number',
      'addScalar',
      () => `value must be a number, got ${show(value)}`,
    );
    this.add(valueEvent(seconds(), step, tag, (message) => message.float(2, value)));
  }

  /** The distribution of values: a tensor, or numbers. Values that are not finite are left out. */
  addHistogram(
    tag: string,
    values: Tensor | ArrayLike<number>,
    step: number,
    options?: { bins?: number },
  ): void {
    requireTag(tag);
    requireStep(step);
    const { bins } = withDefaults('addHistogram', options, { bins: 64 });
    requireArgument(
      Number.isInteger(bins) && bins > 0,
      'addHistogram',
      () => `bins must be an integer > 0, got ${show(bins)}`,
    );
    const time = seconds();
    const write = (numbers: ArrayLike<number>) =>
      this.add(valueEvent(time, step, tag, (value) => histogramValue(value, numbers, bins)));
    if (isTensor(values)) this.whenRead(values, write);
    else write(values);
  }

  /** An image [H, W] or [C, H, W], C = 1, 3 or 4: floating-point values clipped to [0, 1], or uint8. */
  addImage(tag: string, image: Tensor, step: number): void {
    requireTag(tag);
    requireStep(step);
    const valid =
      isTensor(image) &&
      (image.ndim === 2 || (image.ndim === 3 && [1, 3, 4].includes(image.shape[0]!))) &&
      image.size > 0;
    if (!valid) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        'addImage',
        `image must have shape [H, W] or [C, H, W] with C 1, 3 or 4, got ${show(isTensor(image) ? [...image.shape] : image)}`,
      );
    }
    const [height, width] = image.shape.slice(-2) as [number, number];
    const channels = image.ndim === 2 ? 1 : image.shape[0]!;
    const scale = isFloating(image.dtype) ? 255 : 1;
    const time = seconds();
    this.whenRead(image, (values) => {
      const png = encodePng(values, { height, width, channels, scale });
      const proto = { height, width, channels, png };
      this.add(valueEvent(time, step, tag, (value) => imageValue(value, proto)));
    });
  }

  /** A text, which TensorBoard shows as Markdown. */
  addText(tag: string, text: string, step: number): void {
    requireTag(tag);
    requireStep(step);
    this.add(valueEvent(seconds(), step, tag, (value) => textValue(value, text)));
  }

  /** Puts everything that was added before into the file. */
  async flush(): Promise<void> {
    await this.reading;
    this.flushNow();
  }

  /** Flushes and closes the file. */
  async close(): Promise<void> {
    if (this.closed) return;
    await this.flush();
    this.closed = true;
    process.off('exit', this.atExit);
    closeSync(this.descriptor);
  }

  private whenRead(tensor: Tensor, write: (values: ArrayLike<number>) => void): void {
    const values = tensor.data();
    this.reading = Promise.all([values, this.reading]).then(([read]) => write(read));
    this.reading.catch(() => undefined); // flush() throws it
  }

  private add(event: Message): void {
    requireArgument(!this.closed, 'TensorBoardWriter', 'the writer must not be closed');
    const record = frameRecord(event.encode());
    this.buffered.push(record);
    this.bytes += record.length;
    if (this.bytes >= FULL) this.flushNow();
    else this.timer ??= setTimeout(() => this.flushNow(), this.flushMs).unref();
  }

  /** One write of whole records. */
  private flushNow(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.bytes === 0) return;
    const block = Buffer.concat(this.buffered);
    this.buffered = [];
    this.bytes = 0;
    for (let done = 0; done < block.length;) done += writeSync(this.descriptor, block, done);
  }
}

const seconds = () => Date.now() / 1000;

function requireTag(tag: unknown): asserts tag is string {
  requireArgument(
    typeof tag === 'string' && tag !== '',
    'TensorBoardWriter',
    () => `tag must be a text, got ${show(tag)}`,
  );
}

function requireStep(step: unknown): asserts step is number {
  requireArgument(
    Number.isSafeInteger(step) && (step as number) >= 0,
    'TensorBoardWriter',
    () => `step must be an integer >= 0, got ${show(step)}`,
  );
}

function encodePng(
  values: ArrayLike<number>,
  form: { height: number; width: number; channels: number; scale: number },
): Buffer {
  const { height, width, channels, scale } = form;
  const png = new (pngCodec())({ width, height });
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  const plane = width * height;
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < Math.max(3, channels); c++)
      rgba[4 * i + c] = values[(channels === 1 ? 0 : c) * plane + i]! * scale;
  }
  png.data = Buffer.from(rgba.buffer);
  return pngCodec().sync.write(png);
}

/**
 * A callback of train.fit that writes loss, metrics and learning rate of each step and epoch as event files:
 * `train/loss`, `validation/loss`, `learning rate`, and the same for each metric. Steps count over the whole run; a
 * resumed run takes back what was written after its checkpoint.
 *
 * @example await train.fit(model, loader, { ...options, callbacks: train.tensorBoard('runs/1') });
 */
export function tensorBoard(folder: string, options?: { everySteps?: number }): Callbacks {
  const { everySteps } = withDefaults('tensorBoard', options, { everySteps: 1 });
  requireArgument(
    Number.isInteger(everySteps) && everySteps > 0,
    'tensorBoard',
    () => `everySteps must be an integer > 0, got ${show(everySteps)}`,
  );
  let writer: TensorBoardWriter | null = null;
  let lastStep = 0;
  const write = (prefix: string, values: Readonly<Record<string, number>>) => {
    for (const [name, value] of Object.entries(values))
      writer?.addScalar(`${prefix}/${name}`, value, lastStep);
  };
  return {
    onStart({ step }) {
      lastStep = step;
      writer = new TensorBoardWriter(folder, step > 0 ? { purgeStep: step + 1 } : {});
    },
    onStep({ step, loss, metrics, learningRate }) {
      lastStep = step;
      if (step % everySteps !== 0) return;
      write('train', { loss, ...metrics });
      writer?.addScalar('learning rate', learningRate, step);
    },
    onEpoch({ loss, metrics, validation = {} }) {
      write('epoch', { loss, ...metrics });
      write('validation', validation);
    },
    async onEnd() {
      await writer?.close();
      writer = null;
    },
  };
}
