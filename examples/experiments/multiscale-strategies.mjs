// Training strategies of one network on one task, with their course: validation loss on the finest mesh against work
// units and against time. A task is { sample, loss, validate }: a sampler of batches on the finest mesh, the mean loss
// of a model on a batch, the loss of a model on fixed validation data.

import { memory, optim, tidy, train } from '../../dist/index.mjs';
import { processorSeconds } from './record.mjs';

/**
 * What a strategy hands to train.fullMultiscale, from the iterations of the stages (coarsest first) and the batch N_0 of
 * the finest bracket on the finest mesh.
 *
 * - single: all samples of an estimate, N_0 (1 + 2 + ... ), on the finest mesh: the published comparison.
 * - small: N_0 samples on the finest mesh, for as many work units as `full` costs.
 * - long: the same for as many work units as `single` costs.
 * - gradient: the multiscale estimate of the gradient on the finest mesh, no coarse stages.
 * - full: coarse to fine.
 * - full-quarter: the same for a quarter of the work units of `single`.
 */
export const STRATEGIES = {
  single: ({ iterations, batchSize }) => ({
    iterations: [iterations[0]],
    batchSize: batchSize * (2 ** iterations.length - 1),
  }),
  small: (schedule) => smallBatches(schedule, 'full'),
  long: (schedule) => smallBatches(schedule, 'single'),
  gradient: ({ iterations, batchSize }) => ({
    iterations: iterations.map((_, i) => (i === iterations.length - 1 ? iterations[0] : 0)),
    batchSize,
  }),
  full: ({ iterations, batchSize }) => ({ iterations, batchSize }),
  'full-quarter': (schedule) => {
    const stretch = workOf(STRATEGIES.single(schedule)) / 4 / workOf(schedule);
    const iterations = schedule.iterations.map((count) => Math.floor(stretch * count));
    return { iterations, batchSize: schedule.batchSize };
  },
};

/** Batches of N_0 on the finest mesh for as many work units as another strategy costs. */
function smallBatches(schedule, asMuchAs) {
  const { batchSize } = schedule;
  return {
    iterations: [Math.round(workOf(STRATEGIES[asMuchAs](schedule)) / batchSize)],
    batchSize,
  };
}

/** Work units of a schedule: images on the finest mesh, an image halved l times 4^-l. */
export function workOf({ iterations, batchSize }) {
  const last = iterations.length - 1;
  return iterations.reduce((sum, count, stage) => {
    const finest = last - stage;
    let step = batchSize * 2 ** last * 4 ** -last;
    for (let l = 0; l < stage; l++) {
      step += batchSize * 2 ** (finest + l) * 4 ** -(finest + l) * 1.25;
    }
    return sum + count * step;
  }, 0);
}

/** Seconds of training: the time of validation is left out. */
class Clock {
  processor = 0;
  wall = 0;

  start() {
    this.from = [processorSeconds(), performance.now()];
  }

  stop() {
    this.processor += processorSeconds() - this.from[0];
    this.wall += (performance.now() - this.from[1]) / 1000;
  }
}

const rounded = (value, digits) => Number(value.toPrecision(digits));

/**
 * Trains `model` with Adam and half a cosine down to a five-hundredth of the learning rate. Returns the course: points
 * { step, stage, workUnits, seconds (of the processor), wallSeconds, loss }, the first before training.
 */
export async function runStrategy(model, task, settings) {
  const { strategy, learningRate, points, restriction, report } = settings;
  const schedule = STRATEGIES[strategy](settings);
  const steps = schedule.iterations.reduce((a, b) => a + b, 0);
  const optimizer = new optim.Adam(model.parameters(), { learningRate });
  const scheduler = new optim.CosineAnnealingLR(optimizer, steps, { etaMin: learningRate / 500 });
  const clock = new Clock();
  const validate = () => tidy(() => task.validate(model));
  const curve = [
    { ...{ step: 0, stage: 0, workUnits: 0, seconds: 0, wallSeconds: 0 }, loss: validate() },
  ];
  const every = workOf(schedule) / points;
  let bytes = 0;
  clock.start();
  await train.fullMultiscale((batch) => task.loss(model, batch), task.sample, {
    ...{ ...schedule, optimizer, restriction: restriction ?? 'nearest' },
    onStep: ({ step, stage, workUnits }) => {
      scheduler.step();
      if (step < steps && workUnits < every * curve.length) return;
      clock.stop();
      const loss = validate();
      const seconds = rounded(clock.processor, 5);
      const wallSeconds = rounded(clock.wall, 5);
      curve.push({ step, stage, workUnits, seconds, wallSeconds, loss: rounded(loss, 6) });
      report?.(curve.at(-1));
      bytes ||= memory().bytes;
      clock.start();
    },
  });
  return { ...schedule, curve, bytesGrown: memory().bytes - bytes };
}

/** Where a course first has a loss of at most `target`, or null. */
export const firstReach = (curve, target) => curve.find(({ loss }) => loss <= target) ?? null;
