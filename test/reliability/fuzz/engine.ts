// The loop of the fuzzer for one reader.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FluxionError, memory, tidy } from '../../../lib';
import { randomStream } from '../../cases/case';
import { ROOT } from '../record';
import { Coverage } from './coverage';
import { type Random, mutate } from './mutate';
import { READERS, type Reader } from './readers';

export interface FuzzOptions {
  folder: string;
  executions: number;
  seed: number;
  say: (report: FuzzReport) => void;
}

export interface FuzzReport {
  reader: string;
  executions: number;
  /** Files that were read, and those that were refused, by code. */
  accepted: number;
  refused: Record<string, number>;
  /** Files that did what none did before. */
  corpus: number;
  /** Points of the code that were reached, and all. */
  reached: number;
  counters: number;
  /** Milliseconds of the processor in the slowest execution, and bytes by which the process grew. */
  slowest: number;
  peak: number;
  failures: string[];
}

const MAX_MILLISECONDS = 5000;
const MAX_GROWTH = 768e6;
const MAX_FAILURES = 10;
/** Executions between two reports; memory and open files are looked at as often. */
const PERIOD = 250;

/** What a reader did with a file: a code, or nothing when it read it. Throws where that may not be. */
async function execute(reader: Reader, file: string, length: number): Promise<string | null> {
  const before = memory().tensors;
  let code: string | null = null;
  try {
    const tensors = await reader.read(file);
    let bytes = 0;
    for (const t of tensors) {
      bytes += t.dataSync().byteLength;
      t.dispose();
    }
    if (bytes > 1e6 && bytes > reader.growth * length)
      throw new Error(`${bytes} bytes from a file of ${length}`);
  } catch (error) {
    if (!(error instanceof FluxionError)) throw error;
    const allowed = ['FLUXION_CORRUPT_FILE', 'FLUXION_UNSUPPORTED', ...(reader.codes ?? [])];
    if (!allowed.includes(error.code)) throw error;
    code = error.code;
  }
  const left = memory().tensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left`);
  return code;
}

const pick = <T>(random: Random, list: readonly T[]): T =>
  list[Math.floor(random() * list.length)]!;

/** A file to try: one that did something new, changed, and every second time repaired. */
function nextFile(reader: Reader, corpus: readonly Buffer[], random: Random): Buffer {
  // The newest more often.
  const recent = corpus.slice(-8);
  const from = pick(random, random() < 0.5 ? recent : corpus);
  const changed = mutate(from, random, pick(random, corpus), reader.words ?? []);
  const repairs = reader.repairs ?? [];
  return repairs.length > 0 && random() < 0.5 ? pick(random, repairs)(changed, random) : changed;
}

const openFiles = () => (process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0);

/** Keeps a file that a reader should have dealt with otherwise. */
function keep(name: string, bytes: Buffer, count: number): string {
  const folder = path.join(ROOT, 'build/fuzz');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${name}-${count}`);
  writeFileSync(file, bytes);
  return path.relative(ROOT, file);
}

export async function fuzzReader(
  name: string,
  { folder, executions, seed, say }: FuzzOptions,
): Promise<void> {
  const reader = READERS[name]!;
  const random = randomStream(seed);
  const at = (entry: string) => path.join(folder, entry);
  const file = at('input');
  const corpus = await tidy(() => reader.seeds(at));
  const coverage = new Coverage();
  const report: FuzzReport = {
    ...{ reader: name, executions: 0, accepted: 0, refused: {}, corpus: 0, reached: 0 },
    ...{ counters: 0, slowest: 0, peak: 0, failures: [] },
  };
  const known = new Set<string>();
  const fail = (bytes: Buffer, error: unknown) => {
    const { message, stack = '' } = error as Error;
    const place = /\n *at (.*)/.exec(stack)?.[1] ?? '';
    // The same fault again and again says no more than once.
    const key = `${message.replace(/\d+/g, '')} ${place}`;
    if (known.has(key) || known.size >= MAX_FAILURES) return;
    known.add(key);
    report.failures.push(`${name}: ${message} at ${place} (${keep(name, bytes, known.size)})`);
  };
  const run = async (bytes: Buffer) => {
    writeFileSync(file, bytes);
    coverage.reset();
    const begun = process.cpuUsage();
    try {
      const code = await execute(reader, file, bytes.length);
      if (code === null) report.accepted++;
      else report.refused[code] = (report.refused[code] ?? 0) + 1;
    } catch (error) {
      fail(bytes, error);
    }
    // Of the processor: other processes may keep this one waiting.
    const { user, system } = process.cpuUsage(begun);
    const milliseconds = (user + system) / 1000;
    report.slowest = Math.max(report.slowest, milliseconds);
    if (milliseconds > MAX_MILLISECONDS) fail(bytes, new Error('it takes too long'));
    report.executions++;
    if (coverage.isNew()) corpus.push(bytes);
  };
  for (const bytes of [...corpus]) await run(bytes);
  const [resident, files] = [process.memoryUsage.rss(), openFiles()];
  while (report.executions < executions) {
    const bytes = nextFile(reader, corpus, random);
    await run(bytes);
    if (report.executions % PERIOD !== 0 && report.executions < executions) continue;
    report.peak = Math.max(report.peak, process.memoryUsage.rss() - resident);
    if (report.peak > MAX_GROWTH) fail(bytes, new Error('the process grows too much'));
    if (openFiles() > files + 4) fail(bytes, new Error('files are left open'));
    Object.assign(report, { corpus: corpus.length }, coverage.totals());
    say(report);
  }
}
