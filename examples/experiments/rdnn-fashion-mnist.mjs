// RDNN on Fashion-MNIST against the same network without diffusion and a residual network of as many parameters: on
// clean, noisy and blurred test images, trained on clean ones.
//
//     node examples/experiments/rdnn-fashion-mnist.mjs --variant rdnn --seed 1
//     node examples/experiments/rdnn-fashion-mnist.mjs --all      every variant and seed whose record is missing
//     node examples/experiments/rdnn-fashion-mnist.mjs --tables   the tables of docs/systems/rdnn.md, from the records
//
// Variants: rdnn, no-diffusion, resnet, rdnn-strong (initial diffusivities up to 10 instead of 1), rdnn-even (3 in every
// channel: no channel lets noise pass at the start).

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  crossEntropy,
  data,
  manualSeed,
  models,
  noGrad,
  optim,
  randn,
  spectralDiffusion2d,
  tidy,
  train,
} from '../../dist/index.mjs';
import {
  meanAndDeviation,
  processorSeconds,
  readRecord,
  replaceTable,
  writeRecord,
} from './record.mjs';
import { ResidualNetwork } from './residual-network.mjs';

const { values: args } = parseArgs({
  options: {
    variant: { type: 'string', default: 'rdnn' },
    seed: { type: 'string', default: '1' },
    epochs: { type: 'string', default: '2' },
    all: { type: 'boolean', default: false },
    tables: { type: 'boolean', default: false },
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
  },
});
const epochs = Number(args.epochs);
const SEEDS = [1, 2, 3];
const BATCH = 128;
const LEARNING_RATE = 0.01;

const rdnn = (more) =>
  new models.RDNN({
    ...{ channels: [16, 32, 48], layersPerBlock: [1, 2, 1], order: 'diffusion-first' },
    ...more,
  });
const VARIANTS = {
  rdnn: () => rdnn({ diffusionOptions: { initial: [0.1, 1] } }),
  'no-diffusion': () => rdnn({ diffusion: false }),
  resnet: () => new ResidualNetwork({ channels: [16, 32, 38], blocks: [1, 1, 1] }),
  'rdnn-strong': () => rdnn({ diffusionOptions: { initial: [0.1, 10] } }),
  'rdnn-even': () => rdnn({ diffusionOptions: { initial: 3 } }),
};

/** What is done to the test images, in units of the grey range [0, 1] and in pixels. */
const CORRUPTIONS = {
  clean: (x) => x,
  ...Object.fromEntries(
    [0.1, 0.2, 0.3].map((sigma) => [`noise ${sigma}`, (x, seed) => addNoise(x, sigma, seed)]),
  ),
  ...Object.fromEntries([0.5, 1, 2].map((sigma) => [`blur ${sigma}`, (x) => blur(x, sigma)])),
};

const addNoise = (x, sigma, seed) => x.add(randn(x.shape, { seed }).mul(sigma));

/** A Gaussian of standard deviation sigma: heat that has flowed for sigma^2 / 2. */
const blur = (x, sigma) =>
  spectralDiffusion2d(x, 1, { dt: sigma ** 2 / 2, scheme: 'exponential', symbol: 'continuous' });

async function loadImages() {
  const load = (name) => {
    const file = path.join(args.data, name);
    return data.loadIdx(existsSync(file) ? file : `${file}.gz`);
  };
  const [images, labels, testImages, testLabels] = await Promise.all([
    load('train-images-idx3-ubyte'),
    load('train-labels-idx1-ubyte'),
    load('t10k-images-idx3-ubyte'),
    load('t10k-labels-idx1-ubyte'),
  ]);
  const scaled = noGrad(() => testImages.to('float32').div(255).reshape([-1, 1, 28, 28]));
  return { images, labels, testImages: scaled, testLabels };
}

async function evaluate(model, { testImages, testLabels }, seed) {
  const accuracies = {};
  for (const [name, corrupt] of Object.entries(CORRUPTIONS)) {
    const corrupted = noGrad(() => tidy(() => corrupt(testImages, seed).clone()));
    const loader = new data.DataLoader({ tensors: [corrupted, testLabels] }, { batchSize: 250 });
    const { accuracy } = await train.evaluate(model, loader, {
      metrics: { accuracy: train.accuracy },
    });
    corrupted.dispose();
    accuracies[name] = accuracy;
  }
  return accuracies;
}

/** Smallest, median and largest blur width of each layer with diffusion, in pixels of the input. */
async function blurWidths(model) {
  if (!(model instanceof models.RDNN)) return [];
  return (await model.readDiffusions()).map(({ name, blurWidth }) => {
    const sorted = blurWidth.sort();
    return { name, widths: [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)] };
  });
}

async function run(variant, seed, images) {
  manualSeed(seed);
  const model = VARIANTS[variant]();
  const loader = new data.DataLoader(
    { tensors: [images.images, images.labels] },
    { ...{ batchSize: BATCH, shuffle: true, seed }, transform: data.scaleImages() },
  );
  const optimizer = new optim.AdamW(model.parameters(), { learningRate: LEARNING_RATE });
  const totalSteps = epochs * loader.length;
  const scheduler = new optim.OneCycleLR(optimizer, LEARNING_RATE, { totalSteps });
  const before = await blurWidths(model);
  const start = processorSeconds();
  const history = await train.fit(model, loader, {
    loss: (output, target) => crossEntropy(output, target),
    ...{ optimizer, scheduler, epochs, verbose: true },
  });
  const seconds = processorSeconds() - start;
  const accuracies = await evaluate(model, images, seed);
  console.log(variant, seed, accuracies, `${seconds.toFixed(0)} s`);
  const after = await blurWidths(model);
  const command = `node examples/experiments/rdnn-fashion-mnist.mjs --variant ${variant} --seed ${seed} --epochs ${epochs}`;
  const file = await writeRecord(nameOf(variant, seed), {
    ...{ command, variant, seed, epochs, batchSize: BATCH, learningRate: LEARNING_RATE },
    ...{ parameters: model.parameterCount(), seconds, accuracies },
    losses: history.epochs.map(({ loss }) => loss),
    // Smallest, median and largest of the channels, in pixels of the input.
    blurWidths: { before, after },
  });
  console.log(`wrote ${file}`);
}

const nameOf = (variant, seed) => `rdnn-fashion-mnist-${variant}-${seed}`;

async function recordsOf(variant) {
  const records = await Promise.all(SEEDS.map((seed) => readRecord(nameOf(variant, seed))));
  return records.filter((record) => record !== null);
}

function percent(values) {
  const { mean, deviation } = meanAndDeviation(values.map((v) => 100 * v));
  return mean.toFixed(1) + (deviation === null ? '' : ` ± ${deviation.toFixed(1)}`);
}

async function tables() {
  const accuracyRows = [];
  const widthRows = [];
  const points = [];
  for (const variant of Object.keys(VARIANTS)) {
    const records = await recordsOf(variant);
    if (records.length === 0) continue;
    const [{ parameters, epochs, accuracies, blurWidths }] = records;
    const seconds = meanAndDeviation(records.map((r) => r.seconds)).mean.toFixed(0);
    const columns = Object.keys(accuracies).map((name) =>
      percent(records.map((r) => r.accuracies[name])),
    );
    accuracyRows.push([variant, parameters, records.length, epochs, ...columns, seconds]);
    blurWidths.before.forEach(({ name }, i) => {
      const median = (when) =>
        meanAndDeviation(records.map((r) => r.blurWidths[when][i].widths[1])).mean.toFixed(2);
      const range = records.map((r) => r.blurWidths.after[i].widths);
      const [low, high] = [
        Math.min(...range.map((w) => w[0])),
        Math.max(...range.map((w) => w[2])),
      ];
      const spread = `${low.toFixed(2)} to ${high.toFixed(2)}`;
      widthRows.push([variant, name, median('before'), median('after'), spread]);
    });
    for (const name of Object.keys(accuracies)) {
      const [kind, sigma] = name.split(' ');
      const { mean } = meanAndDeviation(records.map((r) => 100 * r.accuracies[name]));
      const kinds = kind === 'clean' ? ['noise', 'blur'] : [kind];
      for (const k of kinds) points.push({ variant, kind: k, sigma: Number(sigma ?? 0), mean });
    }
  }
  const names = Object.keys(CORRUPTIONS);
  const header = ['variant', 'parameters', 'seeds', 'epochs', ...names, 'processor s'];
  await replaceTable('rdnn.md', 'fashion-mnist', header, accuracyRows);
  const widthHeader = ['variant', 'layer', 'median before', 'median after', 'all channels after'];
  await replaceTable('rdnn.md', 'blur-widths', widthHeader, widthRows);
  await figure(points);
}

/** Test accuracy against the strength of the noise and of the blur. */
async function figure(points) {
  const chart = (kind, title) => ({
    ...{ width: 360, height: 160, mark: { type: 'line', point: true } },
    data: { values: points.filter((p) => p.kind === kind) },
    encoding: {
      x: { field: 'sigma', type: 'quantitative', title },
      y: { field: 'mean', type: 'quantitative', title: 'test accuracy (%)' },
      color: { field: 'variant', type: 'nominal', title: null },
    },
  });
  const noise = chart('noise', 'standard deviation of the noise (grey range 0 to 1)');
  const blurred = chart('blur', 'standard deviation of the blur (pixels)');
  const file = new URL('../../docs/figures/rdnn-robustness.png', import.meta.url);
  await train.saveFigure([{ chart: noise }, { chart: blurred }], fileURLToPath(file));
}

if (!Object.hasOwn(VARIANTS, args.variant)) {
  throw new Error(`--variant must be one of ${Object.keys(VARIANTS).join(', ')}`);
}
if (args.tables) {
  await tables();
} else if (args.all) {
  const images = await loadImages();
  for (const seed of SEEDS) {
    for (const variant of Object.keys(VARIANTS)) {
      if (!(await readRecord(nameOf(variant, seed)))) await run(variant, seed, images);
    }
  }
} else {
  await run(args.variant, Number(args.seed), await loadImages());
}
