import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Root of the checkout: the benchmarks run from build/bench, the tests of the harness from bench. */
export const ROOT = __dirname.endsWith(path.join('build', 'bench'))
  ? path.join(__dirname, '../..')
  : path.join(__dirname, '..');

const MAX_INPUT_BYTES = 1.5e9;
const MAX_SETS = 4096;

/** Bytes of the last-level cache; a guess where the system does not say. */
export function lastLevelCacheBytes(): number {
  const folder = '/sys/devices/system/cpu/cpu0/cache';
  try {
    const sizes = readdirSync(folder)
      .filter((name) => name.startsWith('index'))
      .map((name) => readFileSync(path.join(folder, name, 'size'), 'utf8').trim())
      .map((size) => parseInt(size, 10) * (size.endsWith('M') ? 2 ** 20 : 2 ** 10));
    return Math.max(...sizes);
  } catch {
    return 32 * 2 ** 20;
  }
}

/** How many sets of inputs make a call find its own evicted from the cache. */
export function setsFor(inputBytes: number): number {
  if (inputBytes === 0) return 1;
  const wanted = Math.ceil((1.25 * lastLevelCacheBytes()) / inputBytes) + 1;
  const most = Math.max(2, Math.floor(MAX_INPUT_BYTES / inputBytes));
  return Math.max(2, Math.min(wanted, most, MAX_SETS));
}

export interface Machine {
  cpu: string;
  cores: number;
  cacheBytes: number;
  memoryBytes: number;
  platform: string;
  node: string;
  /** Load average of the last minute before the run: over about 0.5 the numbers are noisy. */
  load: number;
}

export function describeMachine(): Machine {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    cacheBytes: lastLevelCacheBytes(),
    memoryBytes: os.totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    load: os.loadavg()[0]!,
  };
}

export interface Revision {
  commit: string;
  /** Whether files other than results and documents differ from the commit. */
  dirty: boolean;
}

export function revision(): Revision {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const changed = git('status', '--porcelain', '--', '.', ':!bench/results', ':!docs');
    return { commit: git('rev-parse', '--short', 'HEAD').trim(), dirty: changed.trim() !== '' };
  } catch {
    return { commit: 'unknown', dirty: true };
  }
}

/** GB/s and GFLOP/s of the machine, for one thread and for two; see bench/native/peaks.cpp. */
export interface Peaks {
  bufferMB: number;
  pairs: number;
  copy: Record<string, [number, number]>;
  instructionSet: string;
  fma: { float32: [number, number]; float64: [number, number] };
}

export function measurePeaks(): Peaks {
  const program = path.join(ROOT, 'build/bench-native/bench_peaks');
  return JSON.parse(execFileSync(program, { encoding: 'utf8' })) as Peaks;
}

/** The best copy, whatever its stores and threads. */
export const copyPeak = (peaks: Peaks) => Math.max(...Object.values(peaks.copy).flat());
export const fmaPeak = (peaks: Peaks, dtype: string) =>
  Math.max(...peaks.fma[dtype === 'float64' ? 'float64' : 'float32']);
