// The three tasks: what a batch is, its loss, and how a trained network is judged.
//
//   mnist    Moving MNIST, 10 frames to the 10 that follow at once
//   digits   the same sequences frame by frame: 10 frames to the next one, which becomes the last of 10
//   water    radial dam breaks, state to state
//
// The last two are forecasts that feed on themselves: one step is trained in the first half of the budget, then three,
// each from the one before.

import { cat, train } from '../../../dist/index.mjs';
import { WATER, movingMnist, randomIntegers, shallowWater } from './data.mjs';
import { evaluateMnist, evaluateWater } from './evaluation.mjs';
import { stepMisfit } from './training.mjs';

const common = { learningRate: 3e-3, batch: 8 };
const UNROLL = [1, 3];
const unrollAt = (progress) => UNROLL[progress < 0.5 ? 0 : 1];

/** The mean misfit of the frames that follow the first 10 of a video, [N, 10 + K, H, W]. */
function frameMisfit(model, video) {
  const count = video.shape[1] - 10;
  let window = video.slice(1, 0, 10);
  let total;
  for (let k = 0; k < count; k++) {
    const next = model.forward(window);
    const misfit = train.relativeMisfit(next, video.slice(1, 10 + k, 11 + k));
    total = total ? total.add(misfit) : misfit;
    window = cat([window.slice(1, 1, 10), next], { dim: 1 });
  }
  return total.div(count);
}

export const TASKS = {
  mnist: {
    settings: common,
    load: ({ seed }) => movingMnist(seed),
    lossOf: (model, source) => (step) => ({
      batch: source.trainVideo(step, common.batch).split(10, { dim: 1 }),
      loss: ([past, future]) => train.relativeMisfit(model.forward(past), future),
    }),
    evaluate: (model, source) => evaluateMnist((past) => model.forward(past), source),
  },
  digits: {
    settings: { ...common, unroll: UNROLL },
    load: ({ seed }) => movingMnist(seed),
    lossOf: (model, source) => (step, progress) => {
      const length = 10 + unrollAt(progress);
      const from = step % (21 - length);
      return {
        batch: [
          source
            .trainVideo(step, common.batch)
            .slice(1, from, from + length)
            .clone(),
        ],
        loss: ([video]) => frameMisfit(model, video),
      };
    },
    evaluate: (model, source) => evaluateMnist((past) => train.rollout(model, past, 10), source),
  },
  water: {
    settings: { ...common, unroll: UNROLL, ...WATER },
    load: ({ folder }) => shallowWater(folder),
    lossOf(model, source, seed) {
      const random = randomIntegers(seed);
      return (_, progress) => ({
        batch: [source.trainBatch(random, common.batch, unrollAt(progress))],
        loss: ([states]) => stepMisfit(model, states),
      });
    },
    evaluate: evaluateWater,
  },
};
