// How long a server that trains keeps others waiting: the delay of the event loop while train.fit runs.
//
//     node bench/event-loop.mjs [--steps N]
//
// Prints the delays in ms: how much later than due a 1 ms timer fires. The goal: p99 under 20 ms.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { config, crossEntropy, data, manualSeed, models, optim, train } from '../dist/index.mjs';

const { values: args } = parseArgs({ options: { steps: { type: 'string', default: '60' } } });
const steps = Number(args.steps);
const BATCH = 128;
const RESOLUTION = 1;

manualSeed(0);
const random = new data.Random(0);
const images = Uint8Array.from({ length: steps * BATCH * 28 * 28 }, () => random.below(256));
const labels = Uint8Array.from({ length: steps * BATCH }, () => random.below(10));
const loader = new data.DataLoader(
  {
    arrays: [
      { data: images, shape: [steps * BATCH, 28, 28] },
      { data: labels, shape: [steps * BATCH] },
    ],
  },
  { batchSize: BATCH, shuffle: true, seed: 0, transform: data.scaleImages() },
);
const model = new models.RDNN();
const optimizer = new optim.AdamW(model.parameters());

/** Delays of the event loop while fn runs. */
async function measure(fn) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  const start = performance.now();
  await fn();
  delay.disable();
  const ms = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION).toFixed(2);
  return {
    ...{ seconds: ((performance.now() - start) / 1000).toFixed(1) },
    ...{ p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) },
  };
}

const fit = () =>
  train.fit(model, loader, {
    loss: (output, target) => crossEntropy(output, target),
    ...{ optimizer, epochs: 1, metrics: { accuracy: train.accuracy } },
  });
const idle = await measure(() => new Promise((resolve) => setTimeout(resolve, 2000)));
const training = await measure(fit);
console.log(
  `${config().threads} threads, ${config().instructionSet}, RDNN, ${steps} steps of ${BATCH}`,
);
console.table({ idle, training });
