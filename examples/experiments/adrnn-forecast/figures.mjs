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

async function trained(folder, set, name, seed) {
  const made = makeNetwork(set, name);
  const file = path.join(folder, `adrnn-${set}-${name}-${seed}.safetensors`);
  made.model.loadStateDict((await data.loadSafetensors(file)).tensors);
  made.model.eval();
  return made;
}

function curves(records, title, y, values) {
  const points = records
    .filter(({ variant }) => variant === 'base')
    .flatMap((record) =>
      values(record).map((value, i) => ({
        ...{ network: TITLES[record.network], seed: String(record.seed), step: i + 1, value },
      })),
    );
  return {
    chart: {
      ...{ title, width: 480, height: 200, data: { values: points }, mark: { type: 'line' } },
      encoding: {
        x: { field: 'step', type: 'quantitative', title: 'step of the forecast' },
        y: { field: 'value', type: 'quantitative', title: y },
        color: { field: 'network', type: 'nominal', title: null },
        detail: { field: 'seed' },
      },
    },
  };
}

/** Panels of the truth and the forecasts, and of their errors; a row for each step. */
function comparison(truth, forecasts, steps, { frame, range, errors }) {
  const at = (fields) => steps.flatMap((k) => fields.map((u) => u.select(0, k - 1)));
  const networks = NETWORKS.map((name) => TITLES[name]);
  const titles = (k) => [`truth, ${frame} ${k}`, ...networks];
  const differences = forecasts.map((u) => u.sub(truth).abs());
  return [
    {
      ...{ fields: at([truth, ...forecasts]), titles: steps.flatMap(titles), range },
      ...{ columns: 1 + networks.length, cell: 2 },
    },
    {
      ...{ fields: at(differences), columns: networks.length, cell: 2, range: [0, errors] },
      titles: steps.flatMap(() => networks.map((name) => `error, ${name}`)),
    },
  ];
}

/** [T, H, W] of the truth and of each network for one sample, and the displacements of the layers of ADRNN. */
async function mnistForecasts(folder, seed, sample) {
  const source = await movingMnist(seed);
  const made = [];
  for (const name of NETWORKS) made.push(await trained(folder, 'mnist', name, seed));
  return noGrad(() =>
    tidy(() => {
      const [past, future] = source.testVideo(sample, 1).split(10, { dim: 1 });
      const forecasts = made.map(({ model }) =>
        model.forward(past).select(0, 0).clamp({ min: 0, max: 1 }),
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
async function drawVelocities(ways, past) {
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
  await train.saveFieldImages(fields, at('adrnn-mnist-velocity.png'), {
    ...{ columns: fields.length, titles, colormap: 'diverging', range: [-limit, limit] },
  });
  console.log(`ways of the last layer up to ${limit.toFixed(1)} cells`);
}

/** Writes docs/figures/adrnn-*.png and .gif. */
export async function drawFigures(folder, seed, sample = 3) {
  const mnist = await recordsOf('mnist');
  const water = await recordsOf('water');
  await train.saveFigure(
    [
      curves(mnist, 'Moving MNIST', 'squared error of a frame', (r) => r.horizon.mse),
      curves(water, 'Shallow water', 'relative L2 error', (r) => r.horizon.relativeL2),
    ],
    at('adrnn-horizon.png'),
  );
  const digits = await mnistForecasts(folder, seed, sample);
  const frames = [2, 6, 10];
  const inputs = [1, 4, 7, 10].map((k) => digits.past.select(0, k - 1));
  await train.saveFigure(
    [
      {
        ...{ fields: inputs, columns: 4, cell: 2, range: [0, 1] },
        titles: ['input, frame 1', '4', '7', '10'],
      },
      ...comparison(digits.truth, digits.forecasts, frames, {
        ...{ frame: 'frame', range: [0, 1], errors: 1 },
      }),
    ],
    at('adrnn-mnist.png'),
  );
  await drawVelocities(digits.ways, digits.past);
  const waves = await waterForecasts(folder, seed, sample);
  const steps = [5, 20];
  await train.saveFigure(
    comparison(waves.truth, waves.forecasts, steps, {
      ...{ frame: 'step', range: [0.85, 1.25], errors: 0.1 },
    }),
    at('adrnn-water.png'),
  );
  const titles = ['truth', ...NETWORKS.map((name) => TITLES[name])];
  const film = { titles, columns: 4, cell: 2 };
  await train.saveAnimation([waves.truth, ...waves.forecasts], at('adrnn-water.gif'), {
    ...{ ...film, range: [0.85, 1.25] },
  });
  const repeatInput = digits.past;
  const joined = [digits.truth, ...digits.forecasts].map((u) =>
    stack([...frameList(repeatInput), ...frameList(u)]),
  );
  await train.saveAnimation(joined, at('adrnn-mnist.gif'), {
    ...film,
    range: [0, 1],
    framesPerSecond: 5,
  });
}

const frameList = (u) => Array.from({ length: u.shape[0] }, (_, t) => u.select(0, t));
