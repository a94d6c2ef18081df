// Figures of the forecasts, from the weights and the records of one seed: errors against the horizon, frames, the
// animation of a rollout, the velocities of a layer.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { data, noGrad, stack, tidy, train } from '../../../dist/index.mjs';
import { WATER, movingMnist, shallowWater } from './data.mjs';
import { NETWORKS, TITLES, makeNetwork } from './networks.mjs';
import { recordsOf } from './tables.mjs';

const docs = fileURLToPath(new URL('../../../docs/figures', import.meta.url));
const at = (name) => path.join(docs, name);

/** The variant of ADRNN that is drawn. */
const DRAWN = { mnist: 'base', digits: 'base', water: 'whole' };

async function trained(folder, set, name, seed) {
  const variant = name === 'adrnn' ? DRAWN[set] : 'base';
  const made = makeNetwork(set, name, variant);
  const title = `adrnn-${set}-${name}${variant === 'base' ? '' : `-${variant}`}-${seed}`;
  const file = path.join(folder, `${title}.safetensors`);
  made.model.loadStateDict((await data.loadSafetensors(file)).tensors);
  made.model.eval();
  return made;
}

function curves(records, title, y, values) {
  const points = records.flatMap((record) => {
    const { variant, seed } = record;
    const network = TITLES[record.network] + (variant === 'base' ? '' : `, ${variant}`);
    return values(record).map((value, i) => ({ network, seed, step: i + 1, value }));
  });
  return {
    chart: {
      ...{ title, width: 400, height: 130, data: { values: points }, mark: { type: 'line' } },
      encoding: {
        x: { field: 'step', type: 'quantitative', title: 'step of the forecast' },
        y: { field: 'value', type: 'quantitative', title: y, scale: { type: 'log', nice: false } },
        color: { field: 'network', type: 'nominal', title: null },
        detail: { field: 'seed' },
      },
    },
  };
}

/** Panels of the truth and the forecasts, and of their errors (that of the truth is 0); a row for each step. */
function comparison(truth, forecasts, steps, { frame, range, errors }) {
  const all = [truth, ...forecasts];
  const rows = (fields) => steps.flatMap((k) => fields.map((u) => u.select(0, k - 1)));
  const networks = NETWORKS.map((name) => TITLES[name]);
  const panel = { columns: all.length, cell: 1 };
  return [
    {
      ...{ ...panel, fields: rows(all), range },
      titles: steps.flatMap((k) => [`${frame} ${k}`, ...networks]),
    },
    {
      ...{ ...panel, fields: rows(all.map((u) => u.sub(truth).abs())), range: [0, errors] },
      titles: steps.flatMap((k) => [`errors, ${k}`, ...networks]),
    },
  ];
}

/**
 * [T, H, W] of the truth and of each network for one sample, all at once or frame by frame, and the displacements of
 * the layers of ADRNN.
 */
async function mnistForecasts(folder, set, seed, sample) {
  const source = await movingMnist(seed);
  const made = [];
  for (const name of NETWORKS) made.push(await trained(folder, set, name, seed));
  return noGrad(() =>
    tidy(() => {
      const [past, future] = source.testVideo(sample, 1).split(10, { dim: 1 });
      const forecasts = made.map(({ model }) =>
        (set === 'mnist' ? model.forward(past) : train.rollout(model, past, 10))
          .select(0, 0)
          .clamp({ min: 0, max: 1 }),
      );
      return {
        past: past.select(0, 0),
        truth: future.select(0, 0),
        forecasts,
        ways: waysOf(made[0].network, past),
      };
    }),
  );
}

/** The displacement of each layer, [G, 2, H, W], for a forecast of x. */
function waysOf(network, x) {
  let field = network.open.forward(x);
  return network.layers.map((layer) => {
    const way = layer.displacement(field);
    field = layer.forward(field);
    return way.select(0, 0);
  });
}

async function waterForecasts(folder, seed, sample) {
  const source = await shallowWater(folder);
  const made = [];
  for (const name of NETWORKS) made.push(await trained(folder, 'water', name, seed));
  return noGrad(() =>
    tidy(() => {
      const run = source.testBatch(sample, 1);
      const start = run.slice(1, 0, 1);
      const depth = (u) => u.select(0, 0).select(1, 0).mul(source.scale).add(source.restDepth);
      const forecasts = made.map(({ model }) => depth(train.rollout(model, start, WATER.horizon)));
      return { truth: depth(run).slice(0, 1, 1 + WATER.horizon), forecasts };
    }),
  );
}

/** The last frame seen, and the way of two groups of the last layer along x and y. */
async function drawVelocities(ways, past, file) {
  const last = ways.at(-1);
  const sizes = Array.from({ length: last.shape[0] }, (_, g) => [
    last.select(0, g).square().mean().item(),
    g,
  ]);
  const groups = sizes
    .sort(([a], [b]) => b - a)
    .slice(0, 2)
    .map(([, g]) => g);
  const limit = last.abs().max().item();
  const fields = [
    past.select(0, 9).mul(limit),
    ...groups.flatMap((g) => [0, 1].map((axis) => last.select(0, g).select(0, axis))),
  ];
  const titles = [
    'last frame seen',
    ...groups.flatMap((g) => ['x', 'y'].map((axis) => `way of group ${g + 1}, ${axis}`)),
  ];
  await train.saveFieldImages(fields, at(file), {
    ...{ columns: fields.length, titles, colormap: 'diverging', range: [-limit, limit] },
  });
  console.log(`${file}: ways of the last layer up to ${limit.toFixed(1)} cells`);
}

const FILM = { titles: ['truth', ...NETWORKS.map((name) => TITLES[name])], columns: 4, cell: 2 };
const frameList = (u) => Array.from({ length: u.shape[0] }, (_, t) => u.select(0, t));

/** Frames, errors and the film of one sequence, all at once ('mnist') or frame by frame ('digits'). */
async function drawDigits(folder, set, seed, sample) {
  const { past, truth, forecasts, ways } = await mnistForecasts(folder, set, seed, sample);
  const shown = [1, 4, 7, 10];
  const inputs = {
    ...{ fields: shown.map((k) => past.select(0, k - 1)), columns: 4, cell: 1, range: [0, 1] },
    titles: shown.map((k) => `input ${k}`),
  };
  const compared = comparison(truth, forecasts, [3, 10], {
    ...{ frame: 'frame', range: [0, 1], errors: 1 },
  });
  await train.saveFigure([inputs, ...compared], at(`adrnn-${set}.png`));
  await drawVelocities(ways, past, `adrnn-${set}-velocity.png`);
  const films = [truth, ...forecasts].map((u) => stack([...frameList(past), ...frameList(u)]));
  await train.saveAnimation(films, at(`adrnn-${set}.gif`), {
    ...{ ...FILM, range: [0, 1], framesPerSecond: 5 },
  });
}

async function drawWater(folder, seed, sample) {
  const { truth, forecasts } = await waterForecasts(folder, seed, sample);
  const range = [0.85, 1.25];
  const panels = comparison(truth, forecasts, [20], { frame: 'step', range, errors: 0.1 });
  await train.saveFigure(panels, at('adrnn-water.png'));
  await train.saveAnimation([truth, ...forecasts], at('adrnn-water.gif'), { ...FILM, range });
}

/** Writes docs/figures/adrnn-*.png and .gif. */
export async function drawFigures(folder, seed, sample = 3) {
  const square = (r) => r.horizon.mse;
  const relative = (r) => r.horizon.relativeL2;
  const panels = [
    curves(await recordsOf('mnist'), 'Moving MNIST, all at once', 'squared error', square),
    curves(await recordsOf('digits'), 'Moving MNIST, frame by frame', 'squared error', square),
    curves(await recordsOf('water'), 'Shallow water', 'relative L2 error', relative),
  ];
  await train.saveFigure(panels, at('adrnn-horizon.png'));
  for (const set of ['mnist', 'digits']) await drawDigits(folder, set, seed, sample);
  await drawWater(folder, seed, sample);
}
