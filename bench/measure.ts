import { setImmediate } from 'node:timers/promises';

/** Times of one call in ns, over the samples of a trial. */
export interface Timing {
  median: number;
  /** Median absolute deviation from the median. */
  mad: number;
  samples: number[];
  /** Calls in a sample. */
  calls: number;
}

export interface MeasureOptions {
  /** Calls before the first sample: caches, pages and allocators come to rest. */
  warmCalls: number;
  warmSeconds: number;
  minSamples: number;
  minSeconds: number;
  /** A sample holds as many calls as take this long, so that starting and stopping the clock is nothing. */
  sampleSeconds: number;
  /** No further sample begins after this. */
  maxSeconds: number;
}

export const STANDARD: MeasureOptions = {
  warmCalls: 12,
  warmSeconds: 3,
  minSamples: 10,
  minSeconds: 0.3,
  sampleSeconds: 0.005,
  maxSeconds: 30,
};

/** Enough to see that the path works. */
export const QUICK: MeasureOptions = {
  warmCalls: 1,
  warmSeconds: 1,
  minSamples: 3,
  minSeconds: 0,
  sampleSeconds: 0,
  maxSeconds: 1,
};

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function medianAbsoluteDeviation(values: readonly number[]): number {
  const centre = median(values);
  return median(values.map((value) => Math.abs(value - centre)));
}

/**
 * Times `sample(calls, first)`, which makes that many calls, the first with number `first`, and returns when
 * their results exist. After the warm-up the samples get twice as many calls until they are long enough.
 */
export async function measure(
  sample: (calls: number, first: number) => void | Promise<void>,
  options: MeasureOptions = STANDARD,
): Promise<Timing> {
  let done = 0;
  const timed = async (calls: number) => {
    const start = process.hrtime.bigint();
    await sample(calls, done);
    const ns = Number(process.hrtime.bigint() - start);
    done += calls;
    return ns;
  };

  let start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  while (done < options.warmCalls && elapsed() < options.warmSeconds) await timed(1);
  let calls = 1;
  while ((await timed(calls)) < options.sampleSeconds * 1e9) calls *= 2;

  const samples: number[] = [];
  start = performance.now();
  while (samples.length < options.minSamples || elapsed() < options.minSeconds) {
    samples.push((await timed(calls)) / calls);
    await setImmediate(); // finalizers run between samples, not inside
    if (elapsed() > options.maxSeconds) break;
  }
  return { median: median(samples), mad: medianAbsoluteDeviation(samples), samples, calls };
}
