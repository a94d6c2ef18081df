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

/** All calls of one op on one device. */
export interface ProfileRow {
  /** Id of the op; 'read' and 'write' are copies to and from JavaScript, 'replay' is a captured step. */
  op: string;
  /** 'cpu', 'cuda:0', ... */
  device: string;
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
  /** Milliseconds in which a kernel ran, on whichever device. */
  busyMs: number;
  /** Kernels beyond `capacity`, of which nothing is known. */
  dropped: number;
  /** Each kernel, in the order in which they began. */
  records: readonly QueueRecord[];
  /** The rows as a table. */
  toString(): string;
}

/**
 * Runs a function, synchronous or not, and says what the devices did meanwhile: calls, time, bytes and floating-point
 * operations of each op, forward and backward. Times are those at which kernels began and ended: on the CPU by the
 * clock of the queue's thread (or the calling one, for small ops on an empty queue), on a GPU by events in its stream,
 * which also see the time between the kernels of one op. Time in JavaScript is the rest of `wallMs`.
 *
 * Only the queues of this thread are seen. Views run no kernel; a step that `capture` replays is one record.
 * Taking a profile waits for the queues before and after; without one there is no cost. One at a time.
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
  const busyMs = busyTime(records);
  const taking = { result, rows, wallMs, busyMs, dropped, records };
  if (trace !== '') await replaceFile(trace, [Buffer.from(chromeTrace(records))]);
  return { ...taking, toString: () => describe(taking) };
}

function rowsOf(records: readonly QueueRecord[]): ProfileRow[] {
  const groups = new Map<string, QueueRecord[]>();
  for (const record of records) {
    const key = `${record.device} ${record.op}`;
    const group = groups.get(key);
    if (group) group.push(record);
    else groups.set(key, [record]);
  }
  const all = records.reduce((sum, { begin, end }) => sum + end - begin, 0);
  const rows = [...groups.values()].map((group): ProfileRow => {
    const { op, device } = group[0]!;
    const us = group.reduce((sum, { begin, end }) => sum + end - begin, 0);
    const bytes = group.reduce((sum, record) => sum + record.bytes, 0);
    const counted = group[0]!.flops !== undefined;
    const flops = counted ? group.reduce((sum, record) => sum + record.flops!, 0) : undefined;
    const perSecond = (amount: number) => (us > 0 ? amount / us / 1e3 : 0);
    return {
      ...{ op, device },
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

/** Milliseconds in which at least one device ran something; records are in the order in which they began. */
function busyTime(records: readonly QueueRecord[]): number {
  let [us, until] = [0, 0];
  for (const { begin, end } of records) {
    us += Math.max(0, end - Math.max(begin, until));
    until = Math.max(until, end);
  }
  return us / 1e3;
}

function describe({
  rows,
  wallMs,
  busyMs,
  dropped,
}: Pick<Profile<unknown>, 'rows' | 'wallMs' | 'busyMs' | 'dropped'>): string {
  const named = rows.some(({ device }) => device !== 'cpu');
  const head = ['op', 'calls', 'ms', 'share', 'bytes', 'GB/s', 'flops', 'GFLOP/s'];
  const body = rows.map((row) => [
    named ? `${row.device} ${row.op}` : row.op,
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

/** The trace event format: one complete event ('X') for each record, a thread for each queue. */
function chromeTrace(records: readonly QueueRecord[]): string {
  const threads = ['queue', 'calling thread (small ops)'];
  const threadOf = ({ device, inlined }: QueueRecord) => {
    const name = device === 'cpu' ? threads[inlined ? 1 : 0]! : device;
    if (!threads.includes(name)) threads.push(name);
    return threads.indexOf(name) + 1;
  };
  const events = records.map((record) => {
    const { op, begin, end, inputs, output, bytes, flops } = record;
    return {
      name: op,
      cat: op.endsWith('_vjp') ? 'backward' : op === 'read' || op === 'write' ? 'copy' : 'op',
      ph: 'X',
      ts: begin,
      dur: end - begin,
      pid: process.pid,
      tid: threadOf(record),
      args: {
        inputs: inputs
          .filter((shape) => shape !== undefined)
          .map((shape) => `[${shape.join(', ')}]`),
        output: output && `[${output.join(', ')}]`,
        bytes,
        flops,
      },
    };
  });
  const names = threads.map((name, i) => ({
    ...{ name: 'thread_name', ph: 'M', pid: process.pid, tid: i + 1 },
    args: { name },
  }));
  return JSON.stringify({ displayTimeUnit: 'ms', traceEvents: [...names, ...events] });
}
