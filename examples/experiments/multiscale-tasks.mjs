// Restoration of images as tasks of multiscale training. A batch is drawn on the finest mesh, noise included, and goes
// to coarser meshes as a whole: [input, target] or [input, target, time].

import {
  add,
  avgPool2d,
  interpolate,
  mul,
  noGrad,
  rand,
  randn,
  reshape,
  spectralDiffusion2d,
  sub,
  tensor,
  tidy,
  train,
} from '../../dist/index.mjs';
import { trainingPatches, validationPatches } from './image-patches.mjs';

/** t a + (1 - t) b with one t for each sample. */
function blend(t, a, b) {
  const weight = reshape(t, [-1, 1, 1, 1]);
  return add(mul(weight, a), mul(sub(1, weight), b));
}

const squaredError = (output, target) => train.meanSquaredError(output, target);

/** Blurs with a Gaussian of standard deviation 3 cells, periodic: heat flow for the time 3^2 / 2. */
const blur = (x) =>
  spectralDiffusion2d(x, 4.5, {
    ...{ dt: 1, boundary: 'periodic', scheme: 'exponential', symbol: 'continuous' },
  });

/**
 * What a task knows. `corrupt(x, t, z)` makes a batch from clean patches, times in [0, 1] and unit noise; `predict`
 * the result of a model on a batch at any resolution; `loss` compares it with the target. `idle` stands for a model that
 * does nothing.
 */
export const TASKS = {
  denoising: {
    time: true,
    restriction: 'nearest',
    corrupt: (x, t, z) => [blend(t, x, z), x, t],
    predict: (model, [input, , t]) => model.forward(input, t),
    idle: { forward: (x) => x },
    loss: squaredError,
  },
  deblurring: {
    time: true,
    restriction: 'nearest',
    corrupt(x, t, z) {
      const small = mul(t, 0.1);
      return [blend(small, z, blur(x)), x, small];
    },
    predict: (model, [input, , t]) => model.forward(input, t),
    idle: { forward: (x) => x },
    loss: squaredError,
  },
  'super-resolution': {
    time: false,
    restriction: 'mean',
    corrupt: (x) => [avgPool2d(x, 2), x],
    predict(model, [input]) {
      const enlarged = interpolate(input, { scaleFactor: 2, mode: 'bilinear' });
      return add(enlarged, model.forward(enlarged));
    },
    idle: { forward: (x) => mul(x, 0) },
    loss: (output, target) => sub(1, train.ssim(output, target, { dataRange: 2 })),
  },
};

/** Validation goes through the network in parts of so many patches. */
const PART = 12;

/** Fixed clean patches with fixed corruptions: parts [input, target, ...], the times spread evenly over each part. */
function validationParts(task, patches) {
  const count = patches.shape[0];
  return Array.from({ length: count / PART }, (_, i) =>
    tidy(() => {
      const x = patches.slice(0, i, count, count / PART);
      const t = tensor(
        Float32Array.from({ length: PART }, (_, n) => (((7 * n) % PART) + 0.5) / PART),
      );
      return task.corrupt(x, t, randn(x.shape, { seed: 1000 + i })).map((part) => part.clone());
    }),
  );
}

/**
 * A task on the images of a folder: a sampler for training (patches from the seed, corruptions from manualSeed), the
 * loss of a model on a batch, and its mean on the validation patches, four of each of the 12 images.
 */
export async function imageTask(name, folder, { size, seed }) {
  const task = TASKS[name];
  if (!task) throw new Error(`task must be one of ${Object.keys(TASKS).join(', ')}, got ${name}`);
  const patches = await trainingPatches(folder, { size, seed });
  const parts = validationParts(task, await validationPatches(folder, { size, perImage: 4 }));
  const loss = (model, batch) => task.loss(task.predict(model, batch), batch[1]);
  const validate = (model) =>
    noGrad(() => parts.reduce((sum, part) => sum + tidy(() => loss(model, part).item()), 0)) /
    parts.length;
  return {
    ...{ time: task.time, restriction: task.restriction, parts, loss },
    predict: task.predict,
    sample: (count) =>
      noGrad(() => {
        const x = patches(count);
        return task.corrupt(x, rand([count]), randn(x.shape));
      }),
    ...{ validate, idleLoss: validate(task.idle) },
  };
}
