import { appendFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { requireArgument, show } from '../errors';
import { memory } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { replaceFile } from '../data/file-bytes';
import type { Callbacks, StepRecord } from './callbacks';

export interface JsonLogOptions {
  /** How often a step gets a line; 0: only epochs do. Default 100. */
  everySteps?: number;
}

/** A line of the log. */
export interface LogLine {
  kind: 'step' | 'epoch';
  /** Steps done in the whole run. */
  step: number;
  /** Counted from 1. */
  epoch: number;
  /** Of the step, or the mean over the epoch. */
  loss: number | null;
  metrics: Record<string, number | null>;
  validation?: Record<string, number | null>;
  learningRate: number;
  /** Time of training so far, earlier processes of the run included. */
  seconds: number;
  /** Bytes of live tensors and their peak, and of the process. */
  memory: { bytes: number; peakBytes: number; processBytes: number };
}

/**
 * A callback of train.fit that appends to a JSONL file: one JSON object on each line, for each epoch and every
 * `everySteps` steps; see {@link LogLine}. NaN and infinite numbers are null.
 *
 * When a run starts, the lines of later steps than it starts from, and an incomplete last line, are removed: a
 * resumed run has each line once, whatever killed the one before; a run from the beginning begins the file anew.
 * The lines of other programs are refused.
 */
export function jsonLog(file: string, options?: JsonLogOptions): Callbacks {
  const { everySteps } = withDefaults('jsonLog', options, { everySteps: 100 });
  requireArgument(
    Number.isInteger(everySteps) && everySteps >= 0,
    'jsonLog',
    () => `everySteps must be an integer >= 0, got ${show(everySteps)}`,
  );
  let started = 0;
  let secondsBefore = 0;
  let last: Pick<StepRecord, 'step'> = { step: 0 };
  const append = (line: Omit<LogLine, 'seconds' | 'memory'>) => {
    const { bytes, peakBytes } = memory();
    const seconds = secondsBefore + (performance.now() - started) / 1000;
    const processBytes = process.memoryUsage.rss();
    const whole: LogLine = { ...line, seconds, memory: { bytes, peakBytes, processBytes } };
    appendFileSync(file, `${JSON.stringify(whole)}\n`);
  };
  return {
    async onStart({ step, epoch }) {
      const kept = keptLines(file, await readFile(file, 'utf8').catch(absent), step, epoch);
      secondsBefore = kept.at(-1)?.seconds ?? 0;
      started = performance.now();
      last = { step };
      await mkdir(path.dirname(file), { recursive: true });
      await replaceFile(file, [
        Buffer.from(kept.map((line) => `${JSON.stringify(line)}\n`).join('')),
      ]);
    },
    onStep(record) {
      last = record;
      if (everySteps > 0 && record.step % everySteps === 0) append({ kind: 'step', ...record });
    },
    onEpoch({ epoch, loss, metrics, validation, learningRate }) {
      const { step } = last;
      append({ kind: 'epoch', step, epoch, loss, metrics, validation, learningRate });
    },
  };
}

function absent(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return '';
  throw error;
}

/** The lines up to a place of the run. */
function keptLines(file: string, text: string, step: number, epoch: number): LogLine[] {
  const lines = text.split('\n');
  lines.pop(); // empty, or torn
  const kept: LogLine[] = [];
  for (const line of lines) {
    const entry = parse(line);
    requireArgument(
      entry !== null,
      'jsonLog',
      () => `file must hold lines of a log, ${file} has ${show(line.slice(0, 60))}`,
    );
    if (entry.step > step || (entry.kind === 'epoch' && entry.epoch > epoch)) break;
    kept.push(entry);
  }
  return kept;
}

function parse(line: string): LogLine | null {
  try {
    const entry = JSON.parse(line) as LogLine;
    return typeof entry.step === 'number' && ['step', 'epoch'].includes(entry.kind) ? entry : null;
  } catch {
    return null;
  }
}
