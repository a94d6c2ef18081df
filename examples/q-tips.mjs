// Labels the bars of the Q-tips images, whose class is told by the marks at both ends: a network has to see from one
// end to the other. About a minute.
//
//     node examples/q-tips.mjs [--model rdnn|imexnet] [--epochs N] [--samples N] [--seed S] [--output folder]
//
// Writes into ./q-tips-output:
//     q-tips.png      input, target, prediction and its errors
//     training.png    loss, accuracy on the bars and learning rate

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  cat,
  crossEntropy,
  data,
  manualSeed,
  models,
  noGrad,
  optim,
  tensor,
  tidy,
  train,
} from '../dist/index.mjs';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'rdnn' },
    epochs: { type: 'string', default: '8' },
    samples: { type: 'string', default: '512' },
    seed: { type: 'string', default: '0' },
    output: { type: 'string', default: 'q-tips-output' },
  },
});
const [epochs, seed, samples] = [args.epochs, args.seed, args.samples].map(Number);
manualSeed(seed);

const loader = (options, more) => {
  const { images, labels } = data.qTips(options);
  const transform = data.normalize(113 / 255, 12 / 255); // mean and deviation of all pixels
  return new data.DataLoader({ arrays: [images, labels] }, { batchSize: 8, transform, ...more });
};
const batches = loader({ samples }, { shuffle: true, seed });
const validation = loader({ samples: 64, seed: 124 });

// Both carry information over tens of cells in one layer: diffusivities up to 100, stencils up to 30 times the usual.
const MODELS = {
  rdnn: () =>
    new models.RDNN({
      ...{ head: 'segmentation', classes: 4, channels: [16], layersPerBlock: 3 },
      diffusionOptions: { initial: [0.1, 100] },
    }),
  imexnet: () =>
    new models.IMEXNet({ blocks: [[4, 16]], norm: 'separate', initialStencil: [1, 30] }),
};
if (!Object.hasOwn(MODELS, args.model)) throw new Error('--model must be rdnn or imexnet');
const model = MODELS[args.model]();
const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.02 });
const scheduler = new optim.OneCycleLR(optimizer, 0.02, { totalSteps: epochs * batches.length });

/** Share of the bars' pixels that have the right class. */
const bars = (output, target) => {
  const bar = target.gt(0).to('float32');
  const right = output.argmax({ dim: 1 }).eq(target.to('int32')).to('float32');
  return right.mul(bar).sum().div(bar.sum());
};
// Of all pixels 98 % are background: each class weighs as much as the others have pixels.
const weight = tensor([0.022, 0.993, 0.993, 0.992]);
const history = await train.fit(model, batches, {
  loss: (output, target) => crossEntropy(output, target, { weight }),
  ...{ optimizer, scheduler, epochs, validation, metrics: { bars } },
  verbose: true,
});
const metrics = { bars, meanIoU: train.meanIoU };
console.log(args.model, await train.evaluate(model, validation, { metrics }));

const COLUMNS = 6;
model.eval();
const [images, labels] = (await validation.batches()[Symbol.asyncIterator]().next()).value;
const fields = noGrad(() =>
  tidy(() => {
    const predicted = model.forward(images).argmax({ dim: 1 }).to('float32');
    const target = labels.to('float32');
    const grey = images
      .reshape(target.shape)
      .mul(12 / 255)
      .add(113 / 255)
      .mul(3);
    const rows = [grey, target, predicted, predicted.ne(target).to('float32').mul(3)];
    return cat(
      rows.map((row) => row.slice(0, 0, COLUMNS)),
      { dim: 0 },
    );
  }),
);
await mkdir(args.output, { recursive: true });
await train.saveFieldImages(fields, path.join(args.output, 'q-tips.png'), {
  ...{ columns: COLUMNS, range: [0, 3] },
});
await train.saveCurves(history, path.join(args.output, 'training.png'));
console.log(`wrote ${args.output}/q-tips.png and ${args.output}/training.png`);
