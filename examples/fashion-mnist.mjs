// Classifies Fashion-MNIST with a reaction-diffusion network, and asks what its diffusion is worth when the
// test images are noisy.
//
//     node examples/fashion-mnist.mjs [--diffusion on|off] [--epochs N] [--seed S] [--augment on|off]
//                                     [--data folder of the IDX files] [--output folder]
//
// The data: Debian's package dataset-fashion-mnist, or the four files (.gz or not) in another folder.
// Writes results.json and training.png into the output folder.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { config, crossEntropy, data, manualSeed, models, optim, train } from '../dist/index.mjs';

const NOISE = [0, 0.1, 0.2, 0.3];

const { values: args } = parseArgs({
  options: {
    diffusion: { type: 'string', default: 'on' },
    augment: { type: 'string', default: 'on' },
    order: { type: 'string', default: 'diffusion-first' },
    diffusivity: { type: 'string', default: '1' },
    epochs: { type: 'string', default: '15' },
    seed: { type: 'string', default: '0' },
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
    output: { type: 'string', default: 'fashion-output' },
  },
});
for (const name of ['diffusion', 'augment']) {
  if (!['on', 'off'].includes(args[name]))
    throw new Error(`--${name} must be on or off, got ${args[name]}`);
}
const diffusion = args.diffusion === 'on';
const augment = args.augment === 'on';
const epochs = Number(args.epochs);
const seed = Number(args.seed);
manualSeed(seed);

function load(name) {
  const file = path.join(args.data, name);
  return data.loadIdx(existsSync(file) ? file : `${file}.gz`);
}
const [images, labels, testImages, testLabels] = await Promise.all([
  load('train-images-idx3-ubyte'),
  load('train-labels-idx1-ubyte'),
  load('t10k-images-idx3-ubyte'),
  load('t10k-labels-idx1-ubyte'),
]);

const scale = data.scaleImages(); // to [0, 1], the units of the noise
const batches = new data.DataLoader(
  { tensors: [images, labels] },
  {
    ...{ batchSize: 128, shuffle: true, seed },
    transform: augment
      ? [data.randomCrop(28, { padding: 2 }), data.randomHorizontalFlip(), scale]
      : scale,
  },
);
const testBatches = (noise) =>
  new data.DataLoader(
    { tensors: [testImages, testLabels] },
    { batchSize: 250, seed, transform: [scale, data.gaussianNoise(noise)] },
  );

const model = new models.RDNN({
  ...{ channels: [16, 40, 56], layersPerBlock: [1, 2, 1], order: args.order, diffusion },
  diffusionOptions: { initial: [0.1, Number(args.diffusivity)] },
});
const optimizer = new optim.AdamW(model.parameters(), { learningRate: 0.01 });
const scheduler = new optim.OneCycleLR(optimizer, 0.01, { totalSteps: epochs * batches.length });
const parameters = model.parameterCount();
console.log(
  `RDNN, diffusion ${args.diffusion}, ${parameters} parameters, ${epochs} epochs, seed ${seed}`,
);

const start = performance.now();
const metrics = { accuracy: train.accuracy };
const history = await train.fit(model, batches, {
  loss: (output, target) => crossEntropy(output, target),
  ...{ optimizer, scheduler, epochs, metrics },
  verbose: true,
});
const seconds = (performance.now() - start) / 1000;

const results = [];
console.log('noise   test accuracy');
for (const noise of NOISE) {
  const { accuracy } = await train.evaluate(model, testBatches(noise), { metrics });
  results.push({ noise, accuracy });
  console.log(`${noise.toFixed(1).padEnd(8)}${(100 * accuracy).toFixed(2)} %`);
}

/** The version of the sources, where they are a clone. */
function commit() {
  try {
    const options = {
      cwd: new URL('.', import.meta.url),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    };
    return execFileSync('git', ['rev-parse', 'HEAD'], options).trim();
  } catch {
    return null;
  }
}

await mkdir(args.output, { recursive: true });
const report = {
  ...{ diffusion, augment, epochs, seed, parameters, seconds, results },
  ...{ commit: commit(), config: config(), history: history.epochs },
};
await writeFile(path.join(args.output, 'results.json'), `${JSON.stringify(report, null, 2)}\n`);
await train.saveCurves(history, path.join(args.output, 'training.png'));
console.log(
  `${seconds.toFixed(0)} s; wrote ${args.output}/results.json and ${args.output}/training.png`,
);
