import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import { replaceFile } from '../data/file-bytes';
import { type QueueRecord, recordCount, startRecording, stopRecording } from './queue-records';
import { shortCount, textTable } from './text-table';

export interface ProfileOptions {
  /** A file for the trace in Chrome's format: open it in chrome://tracing or ui.perfetto.dev. */
  trace?: string;
  /** Kernels and copies to record; 240 bytes each while the profile is taken. What is beyond is counted. Default 100,000. */
  capacity?: number;
}

/** All calls of one op. */
export interface ProfileRow {
  /** Id of the op; 'read' and 'write' are copies to and from JavaScript. */
  op: string;
  calls: number;
  /** Milliseconds of its kernels. They run one after the other: what an op takes is its own. */
  ms: number;
  /** Part of the time of all ops, 0 to 1. */
  share: number;
  /** Distinct elements of all operands, read or written once. */
  bytes: number;
  gigabytesPerSecond: number;
  /** Floating-point operations; undefined where they are not counted. */
  flops: number | undefined;
  gigaflopsPerSecond: number | undefined;
}

export interface Profile<T> {
  /** What the function returned. */
  result: T;
  /** By op, the most expensive first. */
  rows: ProfileRow[];
  /** Milliseconds from the call to the end of the last kernel. */
  wallMs: number;
  /** Milliseconds in which a kernel ran. */
  busyMs: number;
  /** Kernels beyond `capacity`, of which nothing is known. */
  dropped: number;
  /** Each kernel, in the order of execution. */
  records: readonly QueueRecord[];
  /** The rows as a table. */
  toString(): string;
}

/**
 * Runs a function, synchronous or not, and says what the device did meanwhile: calls, time, bytes and floating-point
 * operations of each op, forward and backward. Times are those at which kernels began and ended on the queue's
 * thread (or the calling one, for small ops on an empty queue), so time in JavaScript is the rest of `wallMs`.
 *
 * Only the queue of this thread's device is seen. Views run no kernel. Taking a profile waits for the queue
 * before and after; without one there is no cost. One at a time.
 *
 * @example console.log(String(await profile(() => step(batch), { trace: 'step.json' })));
 */
export async function profile<T>(
  fn: () => T | Promise<T>,
  options?: ProfileOptions,
): Promise<Profile<Awaited<T>>> {
  requireArgument(
    typeof fn === 'function',
    'profile',
    () => `fn must be a function, got ${show(fn)}`,
  );
  const { trace, capacity } = withDefaults<{ trace: string; capacity: number }>(
    'profile',
    options,
    { trace: '', capacity: 100_000 },
  );
  requireArgument(
    Number.isInteger(capacity) && capacity > 0 && capacity <= 1e7,
    'profile',
    () => `capacity must be an integer in [1, 1e7], got ${show(capacity)}`,
  );
  startRecording('profile', capacity);
  const start = performance.now();
  let taken: ReturnType<typeof stopRecording>;
  let result: Awaited<T>;
  let wallMs: number;
  try {
    result = await fn();
  } finally {
    recordCount(); // waits for the queue
    wallMs = performance.now() - start;
    taken = stopRecording();
  }
  const { records, dropped } = taken;
  const rows = rowsOf(records);
  const busyMs = rows.reduce((sum, { ms }) => sum + ms, 0);
  const taking = { result, rows, wallMs, busyMs, dropped, records };
  if (trace !== '') await replaceFile(trace, [Buffer.from(chromeTrace(records))]);
  return { ...taking, toString: () => describe(taking) };
}

function rowsOf(records: readonly QueueRecord[]): ProfileRow[] {
  const groups = new Map<string, QueueRecord[]>();
  for (const record of records) {
    const group = groups.get(record.op);
    if (group) group.push(record);
    else groups.set(record.op, [record]);
  }
  const all = records.reduce((sum, { begin, end }) => sum + end - begin, 0);
  const rows = [...groups].map(([op, group]): ProfileRow => {
    const us = group.reduce((sum, { begin, end }) => sum + end - begin, 0);
    const bytes = group.reduce((sum, record) => sum + record.bytes, 0);
    const counted = group[0]!.flops !== undefined;
    const flops = counted ? group.reduce((sum, record) => sum + record.flops!, 0) : undefined;
    const perSecond = (amount: number) => (us > 0 ? amount / us / 1e3 : 0);
    return {
      op,
      calls: group.length,
      ms: us / 1e3,
      share: all > 0 ? us / all : 0,
      bytes,
      gigabytesPerSecond: perSecond(bytes),
      flops,
      gigaflopsPerSecond: flops === undefined ? undefined : perSecond(flops),
    };
  });
  return rows.sort((a, b) => b.ms - a.ms);
}

function describe({
  rows,
  wallMs,
  busyMs,
  dropped,
}: Pick<Profile<unknown>, 'rows' | 'wallMs' | 'busyMs' | 'dropped'>): string {
  const head = ['op', 'calls', 'ms', 'share', 'bytes', 'GB/s', 'flops', 'GFLOP/s'];
  const body = rows.map((row) => [
    row.op,
    String(row.calls),
    row.ms.toFixed(3),
    `${(100 * row.share).toFixed(1)} %`,
    shortCount(row.bytes),
    row.gigabytesPerSecond.toFixed(1),
    row.flops === undefined ? '' : shortCount(row.flops),
    row.gigaflopsPerSecond === undefined ? '' : row.gigaflopsPerSecond.toFixed(1),
  ]);
  const lost = dropped > 0 ? `; ${dropped} more were not recorded (capacity)` : '';
  const idle = `${busyMs.toFixed(3)} ms of ${wallMs.toFixed(3)} ms in ops${lost}`;
  return `${textTable([head, ...body])}\n${idle}`;
}

/** The trace event format: one complete event ('X') for each record. */
function chromeTrace(records: readonly QueueRecord[]): string {
  const thread = (tid: number, name: string) => ({
    ...{ name: 'thread_name', ph: 'M', pid: process.pid, tid },
    args: { name },
  });
  const events = records.map(({ op, begin, end, inlined, inputs, output, bytes, flops }) => ({
    name: op,
    cat: op.endsWith('_vjp') ? 'backward' : op === 'read' || op === 'write' ? 'copy' : 'op',
    ph: 'X',
    ts: begin,
    dur: end - begin,
    pid: process.pid,
    tid: inlined ? 2 : 1,
    args: {
      inputs: inputs.filter((shape) => shape !== undefined).map((shape) => `[${shape.join(', ')}]`),
      output: output && `[${output.join(', ')}]`,
      bytes,
      flops,
    },
  }));
  return JSON.stringify({
    displayTimeUnit: 'ms',
    traceEvents: [thread(1, 'queue'), thread(2, 'calling thread (small ops)'), ...events],
  });
}
