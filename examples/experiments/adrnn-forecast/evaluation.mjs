// Errors of forecasts against the horizon.

import { noGrad, tidy, train } from '../../../dist/index.mjs';
import { WATER } from './data.mjs';

const round = (value) => Number(value.toPrecision(5));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const rounded = (values) => values.map(round);

/** Means of `parts`, lists of { weight, figures: { name: numbers } }. */
function weightedMeans(parts) {
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  const names = Object.keys(parts[0].figures);
  return Object.fromEntries(
    names.map((name) => [
      name,
      parts[0].figures[name].map(
        (_, i) =>
          parts.reduce((sum, { weight, figures }) => sum + weight * figures[name][i], 0) / total,
      ),
    ]),
  );
}

/**
 * Frames 11 to 20 of Moving MNIST, by frame: squared error summed over the pixels of a frame (the convention of SimVP),
 * relative L2 error, and structural similarity; means over the test sequences. `forecast` makes 10 frames of 10.
 */
export function evaluateMnist(forecast, source, { sequences = 512, size = 32 } = {}) {
  const parts = [];
  for (let first = 0; first < sequences; first += size) {
    const figures = noGrad(() =>
      tidy(() => {
        const [past, future] = source.testVideo(first, size).split(10, { dim: 1 });
        const output = forecast(past);
        const squares = output
          .sub(future)
          .square()
          .sum({ dim: [2, 3] });
        const norms = future.square().sum({ dim: [2, 3] });
        const frames = Array.from({ length: 10 }, (_, k) => k);
        return {
          mse: [...squares.mean({ dim: 0 }).dataSync()],
          relativeL2: [...squares.div(norms).sqrt().mean({ dim: 0 }).dataSync()],
          ssim: frames.map((k) => train.ssim(output.select(1, k), future.select(1, k)).item()),
        };
      }),
    );
    parts.push({ weight: size, figures });
  }
  const { mse, relativeL2, ssim } = weightedMeans(parts);
  return {
    ...{ mse: round(mean(mse)), ssim: round(mean(ssim)), last: round(relativeL2.at(-1)) },
    horizon: { mse: rounded(mse), relativeL2: rounded(relativeL2), ssim: rounded(ssim) },
  };
}

/**
 * A forecast of whole runs from their first state, step by step: relative L2 error of the depth's and the momenta's
 * difference from rest, and of the depth itself, by step; means over the test runs.
 */
export function evaluateWater(model, source) {
  const parts = [];
  const size = 8;
  for (let first = 0; first < source.tests; first += size) {
    const figures = noGrad(() =>
      tidy(() => {
        const truth = source.testBatch(first, size);
        const [start, later] = [truth.slice(1, 0, 1), truth.slice(1, 1, 1 + WATER.horizon)];
        const forecast = train.rollout(model, start, WATER.horizon);
        const error = forecast.sub(later);
        const norm = (u) =>
          u
            .square()
            .sum({ dim: [2, 3, 4] })
            .sqrt();
        const ratio = (a, b) => [...norm(a).div(norm(b)).mean({ dim: 0 }).dataSync()];
        const depth = (u) => u.slice(2, 0, 1);
        const still = source.restDepth / source.scale;
        return {
          relativeL2: ratio(error, later),
          depth: ratio(depth(error), depth(later).add(still)),
        };
      }),
    );
    parts.push({ weight: Math.min(size, source.tests - first), figures });
  }
  const { relativeL2, depth } = weightedMeans(parts);
  return {
    ...{ mean: round(mean(relativeL2)), last: round(relativeL2.at(-1)) },
    horizon: { relativeL2: rounded(relativeL2), depth: rounded(depth) },
  };
}
