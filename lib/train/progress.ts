import type * as cliProgress from 'cli-progress';
import { type EpochRecord, describeEpoch } from './history';

export interface ProgressOptions {
  /** A bar on stderr. Default: when stderr is a terminal. */
  progress?: boolean;
  /** Without the bar: one line on stderr for each epoch. Default false. */
  verbose?: boolean;
}

/** Shows how far a run is: a bar for each epoch, or one line for each, or nothing. */
export class Progress {
  private bar: cliProgress.SingleBar | null = null;
  private readonly shown: boolean;

  constructor(
    private readonly options: ProgressOptions,
    private readonly epochs: number,
    private readonly batches: number,
  ) {
    this.shown = options.progress ?? Boolean(process.stderr.isTTY);
  }

  /** A batch is done. */
  update(epoch: number, batch: number, loss: number): void {
    if (!this.shown) return;
    if (!this.bar) {
      const format = `epoch {epoch}/${this.epochs} |{bar}| {value}/{total}  loss {loss}  {duration_formatted}`;
      // Loaded when a bar is shown.
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      const { SingleBar } = require('cli-progress') as typeof cliProgress;
      this.bar = new SingleBar({
        format,
        stream: process.stderr,
        hideCursor: true,
        linewrap: null,
      });
      this.bar.start(this.batches, batch, { epoch: epoch + 1, loss: '' });
    }
    this.bar.update(batch, { epoch: epoch + 1, loss: loss.toPrecision(4) });
  }

  endEpoch(record: EpochRecord): void {
    this.stop();
    this.note(describeEpoch(record, this.epochs));
  }

  note(line: string): void {
    if (this.shown || this.options.verbose) process.stderr.write(`${line}\n`);
  }

  stop(): void {
    this.bar?.stop();
    this.bar = null;
  }
}
