// Training within a budget of processor seconds: the same loss, optimizer, schedule and clipping for every network.

import { noGrad, optim, tidy } from '../../../dist/index.mjs';
import { processorSeconds } from '../record.mjs';

/** A state along dimension 1 of [N, T, C, H, W]. */
const stateAt = (states, t) => states.select(1, t);

/**
 * The mean over the steps of an unrolled forecast of its misfit, relative to that of a forecast of no change:
 * |x_k - y_k|^2 / |y_k - y_(k-1)|^2, x_0 = y_0. States [N, 1 + K, C, H, W].
 */
export function stepMisfit(model, states) {
  const steps = states.shape[1] - 1;
  let state = stateAt(states, 0);
  let total;
  for (let k = 1; k <= steps; k++) {
    state = model.forward(state);
    const [target, before] = [stateAt(states, k), stateAt(states, k - 1)];
    const change = target.sub(before).square().mean();
    const misfit = state.sub(target).square().mean().div(change);
    total = total ? total.add(misfit) : misfit;
  }
  return total.div(steps);
}

/** Share of the peak learning rate: up over the first tenth of the budget, then half a cosine down to 0. */
function schedule(progress) {
  if (progress < 0.1) return 0.02 + (0.98 * progress) / 0.1;
  return 0.5 * (1 + Math.cos(Math.PI * Math.min(1, (progress - 0.1) / 0.9)));
}

/**
 * Trains until `budget` processor seconds are spent on forward, backward and update; making batches is not counted.
 * `lossOf(step, progress)` gives { batch, loss }, progress from 0 to 1: tensors of the step, and how to make the loss of them.
 */
export async function trainFor(model, { budget, learningRate, maxGradNorm = 1, lossOf, log }) {
  const optimizer = new optim.AdamW(model.parameters(), { learningRate, weightDecay: 1e-4 });
  const history = [];
  let spent = 0;
  let mean = 0;
  let steps = 0;
  model.train();
  while (spent < budget) {
    const { batch, loss } = noGrad(() => lossOf(steps, spent / budget));
    await batch.at(-1).data();
    const start = processorSeconds();
    optimizer.zeroGrad();
    optimizer.learningRate = learningRate * schedule(spent / budget);
    const value = tidy(() => {
      const result = loss(batch);
      result.backward();
      optim.clipGradNorm(optimizer.parameters(), maxGradNorm).dispose();
      optimizer.step();
      return result.detach();
    });
    const [number] = await value.data();
    value.dispose();
    spent += processorSeconds() - start;
    for (const one of batch) one.dispose();
    steps++;
    if (!Number.isFinite(number)) throw new Error(`the loss of step ${steps} is ${number}`);
    mean += number;
    if (steps % 50 === 0) {
      history.push({ step: steps, seconds: spent, loss: mean / 50 });
      mean = 0;
      if (steps % 200 === 0) log?.(history.at(-1));
    }
  }
  optimizer.zeroGrad();
  return { steps, seconds: spent, history };
}
