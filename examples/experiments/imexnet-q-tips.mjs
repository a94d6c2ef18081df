// IMEXNet on the Q-tips images, where a pixel in the middle of a bar has to know what is at both of its ends: the
// implicit step against the same network without it, and RDNN's segmentation head.
//
//     node examples/experiments/imexnet-q-tips.mjs --variant implicit --seed 1
//     node examples/experiments/imexnet-q-tips.mjs --all      every variant and seed whose record is missing
//     node examples/experiments/imexnet-q-tips.mjs --tables   table and figure of docs/systems/imexnet.md, from the records
//
// Variants: zero (no implicit step), implicit and laplacian (stencils as published), implicit-wide (stencils up to 30
// times as large at the start), rdnn; implicit-wide-shared: with one batch norm for both places, as published.

import { parseArgs } from 'node:util';
import { crossEntropy, data, manualSeed, models, optim, tensor, train } from '../../dist/index.mjs';
import { drawPredictions, evaluate, visionBound } from './q-tips-evaluation.mjs';
import {
  meanAndDeviation,
  processorSeconds,
  readRecord,
  replaceTable,
  writeRecord,
} from './record.mjs';

const { values: args } = parseArgs({
  options: {
    variant: { type: 'string', default: 'implicit' },
    seed: { type: 'string', default: '1' },
    epochs: { type: 'string', default: '8' },
    samples: { type: 'string', default: '1024' },
    all: { type: 'boolean', default: false },
    tables: { type: 'boolean', default: false },
  },
});
const epochs = Number(args.epochs);
const samples = Number(args.samples);
const BATCH = 8;
const LEARNING_RATE = 0.02;
const LAYERS = 4;
const CHANNELS = 16;
/** What a layer without the implicit step lets a pixel see: 1 cell for the first, 2 for each of the others. */
const RADIUS = 1 + 2 * (LAYERS - 1);
const VALIDATION = { samples: 256, seed: 124 };

const imex = (options) =>
  new models.IMEXNet({ blocks: [[LAYERS, CHANNELS]], norm: 'separate', ...options });
/** How to make a variant, and the seeds that it is run with. */
const VARIANTS = {
  zero: { make: () => imex({ variant: 'zero' }), seeds: [1, 2, 3] },
  implicit: { make: () => imex({}), seeds: [1, 2, 3] },
  laplacian: { make: () => imex({ variant: 'laplacian' }), seeds: [1, 2, 3] },
  'implicit-wide': { make: () => imex({ initialStencil: [1, 30] }), seeds: [1, 2, 3] },
  'implicit-wide-shared': {
    make: () => imex({ initialStencil: [1, 30], norm: 'shared' }),
    seeds: [1],
  },
  rdnn: {
    make: () =>
      new models.RDNN({
        ...{ head: 'segmentation', classes: 4, channels: [CHANNELS], layersPerBlock: LAYERS - 1 },
        diffusionOptions: { initial: [0.1, 100] },
      }),
    seeds: [1, 2, 3],
  },
};
const nameOf = (variant, seed) => `imexnet-q-tips-${variant}-${seed}`;

/** Bytes to mean 0 and deviation 1 over the whole set; the weight of a class is the share of the others. */
function statistics({ images, labels }) {
  const { mean, deviation } = meanAndDeviation(Array.from(images.data, (byte) => byte / 255));
  const counts = [0, 0, 0, 0];
  for (const label of labels.data) counts[label]++;
  return {
    transform: data.normalize(mean, deviation),
    weight: tensor(counts.map((n) => 1 - n / labels.data.length)),
  };
}

/**
 * How many cells one step carries information, for each channel of each layer: of (I + dt L^T L)^-1 the decay length
 * sqrt(dt) |b| with b = sum_p L(p) p, L^ ~ i b.k; of diffusion the blur width. Smallest, median, largest.
 */
async function reach(model) {
  const values = [];
  if (model instanceof models.RDNN) {
    for (const { blurWidth } of await model.readDiffusions()) values.push(...blurWidth);
  } else if (model.options.variant !== 'laplacian') {
    for (const { stencil } of model.layers.filter((layer) => layer.stencil)) {
      const l = await stencil.data();
      for (let c = 0; c < l.length; c += 9) {
        const [right, left] = [2, 5, 8].map((i) => [l[c + i], l[c + i - 2]]).reduce(addPairs);
        const [down, up] = [6, 7, 8].map((i) => [l[c + i], l[c + i - 6]]).reduce(addPairs);
        values.push(Math.hypot(right - left, down - up));
      }
    }
  }
  values.sort((a, b) => a - b);
  return values.length === 0 ? null : [values[0], values[values.length >> 1], values.at(-1)];
}
const addPairs = ([a, b], [c, d]) => [a + c, b + d];

async function run(variant, seed) {
  manualSeed(seed);
  const [training, validation] = [data.qTips({ samples }), data.qTips(VALIDATION)];
  const { transform, weight } = statistics(training);
  const loader = ({ images, labels }, more) =>
    new data.DataLoader({ arrays: [images, labels] }, { batchSize: BATCH, transform, ...more });
  const batches = loader(training, { shuffle: true, seed });
  const model = VARIANTS[variant].make();
  const optimizer = new optim.Adam(model.parameters(), { learningRate: LEARNING_RATE });
  const totalSteps = epochs * batches.length;
  const scheduler = new optim.OneCycleLR(optimizer, LEARNING_RATE, { totalSteps });
  const before = await reach(model);
  const start = processorSeconds();
  const history = await train.fit(model, batches, {
    loss: (output, target) => crossEntropy(output, target, { weight }),
    ...{ optimizer, scheduler, epochs, verbose: true },
  });
  const seconds = processorSeconds() - start;
  const { shown, ...figures } = await evaluate(model, loader(validation), validation);
  console.log(variant, seed, figures, `${seconds.toFixed(0)} s`);
  const file = await writeRecord(nameOf(variant, seed), {
    command: `node examples/experiments/imexnet-q-tips.mjs --variant ${variant} --seed ${seed} --epochs ${epochs} --samples ${samples}`,
    ...{ variant, seed, epochs, samples, batchSize: BATCH, learningRate: LEARNING_RATE },
    ...{ layers: LAYERS, channels: CHANNELS, validation: VALIDATION },
    ...{ parameters: model.parameterCount(), seconds, ...figures },
    bound: visionBound(validation, RADIUS),
    reach: { before, after: await reach(model) },
    losses: history.epochs.map(({ loss }) => loss),
    ...(seed === 1 && { shown }),
  });
  console.log(`wrote ${file}`);
}

async function tables() {
  const rows = [];
  const predictions = {};
  const percent = (values) => {
    const { mean, deviation } = meanAndDeviation(values.map((v) => 100 * v));
    return mean.toFixed(1) + (deviation === null ? '' : ` ± ${deviation.toFixed(1)}`);
  };
  for (const [variant, { seeds }] of Object.entries(VARIANTS)) {
    const found = await Promise.all(seeds.map((seed) => readRecord(nameOf(variant, seed))));
    const records = found.filter((record) => record !== null);
    if (records.length === 0) continue;
    const column = (figure) => percent(records.map((r) => r[figure]));
    const reachAt = (when) => {
      const all = records.map((r) => r.reach[when]).filter(Boolean);
      const mean = (i) => meanAndDeviation(all.map((v) => v[i])).mean.toFixed(1);
      return all.length === 0 ? '' : `${mean(1)} (${mean(2)})`;
    };
    rows.push([
      ...[variant, records[0].parameters, records.length],
      ...['barAccuracy', 'imageAccuracy', 'meanIoU', 'pixelAccuracy'].map(column),
      ...[reachAt('before'), reachAt('after')],
      meanAndDeviation(records.map((r) => r.seconds)).mean.toFixed(0),
    ]);
    if (records[0].shown && seeds.length > 1) predictions[variant] = records[0].shown;
  }
  const header = [
    ...['variant', 'parameters', 'seeds', 'bar pixels', 'images', 'mean IoU', 'all pixels'],
    ...['reach before', 'reach after', 'processor s'],
  ];
  await replaceTable('imexnet.md', 'q-tips', header, rows);
  await drawPredictions(data.qTips(VALIDATION), predictions);
}

if (!Object.hasOwn(VARIANTS, args.variant)) {
  throw new Error(`--variant must be one of ${Object.keys(VARIANTS).join(', ')}`);
}
if (args.tables) {
  await tables();
} else if (args.all) {
  for (const seed of [1, 2, 3]) {
    for (const [variant, { seeds }] of Object.entries(VARIANTS)) {
      const wanted = seeds.includes(seed) && !(await readRecord(nameOf(variant, seed)));
      if (wanted) await run(variant, seed);
    }
  }
} else {
  await run(args.variant, Number(args.seed));
}
