// How the gradient of the loss changes on its way back through 8, 32 and 128 layers, at initialisation: RDNN, the same
// layers without diffusion, and plain residual blocks.
//
//     node examples/experiments/rdnn-depth.mjs --seed 1     one record: every variant and depth
//     node examples/experiments/rdnn-depth.mjs --all        seeds 1, 2 and 3, where the record is missing
//     node examples/experiments/rdnn-depth.mjs --tables     table and figure of docs/systems/rdnn.md, from the records

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  avgPool2d,
  crossEntropy,
  data,
  keep,
  manualSeed,
  models,
  nn,
  noGrad,
  tidy,
  train,
} from '../../dist/index.mjs';
import { meanAndDeviation, readRecord, replaceTable, writeRecord } from './record.mjs';
import { ResidualBlock } from './residual-network.mjs';

const { values: args } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    all: { type: 'boolean', default: false },
    tables: { type: 'boolean', default: false },
    data: { type: 'string', default: '/usr/share/datasets/fashion-mnist' },
  },
});
const SEEDS = [1, 2, 3];
const DEPTHS = [8, 32, 128];
const CHANNELS = 16;
const BATCH = 32;
/** Time that all layers together take where the step depends on the depth. */
const INTERVAL = 8;
const VARIANTS = {
  rdnn: (dt) => new models.RDLayer(CHANNELS, { dt }),
  'no-diffusion': (dt) => new models.RDLayer(CHANNELS, { dt, diffusion: false }),
  resnet: () => new ResidualBlock(CHANNELS),
};
/** Without normalisation: batch norms in eval mode, which at the start subtract 0 and divide by 1. */
const SETTINGS = [
  {
    label: 'batch norm, h = 1',
    stepAt: () => 1,
    normalised: true,
    variants: Object.keys(VARIANTS),
  },
  {
    label: `batch norm, h = ${INTERVAL} / layers`,
    stepAt: (depth) => INTERVAL / depth,
    normalised: true,
    variants: ['rdnn', 'no-diffusion'],
  },
  { label: 'no norm, h = 1', stepAt: () => 1, normalised: false, variants: Object.keys(VARIANTS) },
];
const CASES = SETTINGS.flatMap((setting) =>
  setting.variants.map((variant) => ({ ...setting, variant })),
);
const nameOf = (seed) => `rdnn-depth-${seed}`;

/** The first training images, 14 x 14 by means of 2 x 2, and their labels. */
async function loadBatch() {
  const load = (name) => {
    const file = path.join(args.data, name);
    return data.loadIdx(existsSync(file) ? file : `${file}.gz`);
  };
  const [images, labels] = await Promise.all(
    ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte'].map(load),
  );
  return noGrad(() =>
    tidy(() => {
      const bytes = images.slice(0, 0, BATCH).reshape([BATCH, 1, 28, 28]);
      return [avgPool2d(bytes.to('float32').div(255), 2), labels.slice(0, 0, BATCH).clone()];
    }),
  );
}

const leaf = (u) => {
  const copy = u.detach().clone();
  copy.requiresGrad = true;
  return copy;
};
const norm = (u) => Math.sqrt(u.pow(2).sum().item());
/** Norm of what batch normalisation sees: the field without the mean of each channel. */
const variation = (u) => norm(u.sub(u.mean({ dim: [0, 2, 3], keepdim: true })));

/**
 * Norms of the loss's gradient in the input of each layer and, last, in the result of the last one; and how
 * much the first and the last of these fields vary. The layers are differentiated one by one, from the last to the first, so that one graph lives at a time.
 */
function gradientNorms(layers, head, open, [images, labels]) {
  return tidy(() => {
    const inputs = [noGrad(() => open.forward(images))];
    for (const layer of layers) inputs.push(noGrad(() => layer.forward(inputs.at(-1))));
    const last = leaf(inputs.at(-1));
    crossEntropy(head.forward(last.mean({ dim: [2, 3] })), labels).backward();
    let gradient = last.grad;
    const gradients = [norm(gradient)];
    for (let i = layers.length - 1; i >= 0; i--) {
      const given = gradient;
      gradient = tidy(() => {
        const u = leaf(inputs[i]);
        layers[i].forward(u).backward(given);
        for (const p of layers[i].parameters()) p.grad = null;
        return keep(u.grad.clone());
      });
      gradients.push(norm(gradient));
    }
    const rounded = (values) => values.map((v) => Number(v.toPrecision(5)));
    const ends = [inputs[0], inputs.at(-1)];
    return { variations: rounded(ends.map(variation)), gradients: rounded(gradients.reverse()) };
  });
}

async function run(seed) {
  const batch = await loadBatch();
  const figures = [];
  for (const { label, variant, stepAt, normalised } of CASES) {
    for (const depth of DEPTHS) {
      manualSeed(seed);
      const open = new nn.Sequential(
        new nn.Conv2d(1, CHANNELS, 3, { padding: 1, bias: false }),
        new nn.BatchNorm2d(CHANNELS),
      );
      const layers = Array.from({ length: depth }, () =>
        VARIANTS[variant](stepAt(depth)).train(normalised),
      );
      const norms = gradientNorms(layers, new nn.Linear(CHANNELS, 10), open, batch);
      figures.push({ label, variant, depth, ...norms });
      const ratio = norms.gradients[0] / norms.gradients.at(-1);
      console.log(label, variant, depth, ratio.toFixed(2), norms.variations[1].toFixed(0));
    }
  }
  const command = `node examples/experiments/rdnn-depth.mjs --seed ${seed}`;
  const settings = { channels: CHANNELS, batchSize: BATCH, side: 14, initial: [0.1, 1] };
  console.log(`wrote ${await writeRecord(nameOf(seed), { command, seed, ...settings, figures })}`);
}

const show = ({ mean, deviation }, digits) =>
  mean.toFixed(digits) + (deviation === null ? '' : ` ± ${deviation.toFixed(digits)}`);

async function tables() {
  const records = (await Promise.all(SEEDS.map((s) => readRecord(nameOf(s))))).filter(Boolean);
  const points = [];
  const rows = CASES.map(({ label, variant }) => {
    const runsOf = (depth) =>
      records.map(({ figures }) =>
        figures.find((f) => f.label === label && f.variant === variant && f.depth === depth),
      );
    for (const depth of DEPTHS) {
      for (let i = 0; i <= depth; i++) {
        const logs = runsOf(depth).map(({ gradients: g }) => Math.log(g[i] / g.at(-1)));
        const norm = Math.exp(meanAndDeviation(logs).mean);
        points.push({ label, variant, depth: `${depth} layers`, from: depth - i, norm });
      }
    }
    const ratios = DEPTHS.map((depth) =>
      show(meanAndDeviation(runsOf(depth).map(({ gradients: g }) => g[0] / g.at(-1))), 2),
    );
    const variations = runsOf(DEPTHS.at(-1)).map(({ variations: v }) => v[1] / v[0]);
    return [label, variant, ...ratios, show(meanAndDeviation(variations), 2)];
  });
  const header = ['', 'variant', ...DEPTHS.map((depth) => `${depth} layers`), 'variation, 128'];
  await replaceTable('rdnn.md', 'depth', header, rows);
  await figure(points);
}

async function figure(points) {
  const chart = (label) => ({
    ...{ width: 290, height: 96, title: label, mark: { type: 'line' } },
    data: { values: points.filter((point) => point.label === label) },
    encoding: {
      x: { field: 'from', type: 'quantitative', title: 'layers between field and head' },
      y: {
        ...{ field: 'norm', type: 'quantitative', scale: { type: 'log', nice: false } },
        title: 'gradient (head: 1)',
      },
      color: { field: 'variant', type: 'nominal', title: null },
      strokeDash: { field: 'depth', type: 'nominal', title: null, sort: null },
    },
  });
  const file = new URL('../../docs/figures/rdnn-depth.png', import.meta.url);
  const panels = SETTINGS.map(({ label }) => ({ chart: chart(label) }));
  await train.saveFigure(panels, fileURLToPath(file));
}

if (args.tables) await tables();
else if (args.all) {
  for (const seed of SEEDS) if (!(await readRecord(nameOf(seed)))) await run(seed);
} else await run(Number(args.seed));
