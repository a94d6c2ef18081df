// What a finer mesh changes, for mesh-free and for 3x3 convolutions. Two parts:
//
//     node examples/experiments/mesh-convergence.mjs --part layers      one convolution, noise and smooth fields, 1-d
//     node examples/experiments/mesh-convergence.mjs --part gradients   the gradients of a network on a task
//         [--task denoising|deblurring|super-resolution] [--convolution mesh-free|3x3] [--restriction nearest|mean] [--steps 0] [--samples 200] [--seed S]
//     node examples/experiments/mesh-convergence.mjs --all | --tables
//
// Writes docs/systems/results/mesh-convergence-<run>.json; --tables the tables of docs/systems/multiscale-training.md.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  conv1d,
  manualSeed,
  meshFreeConv1d,
  models,
  randn,
  tensor,
  tidy,
  train,
} from '../../dist/index.mjs';
import { IMAGES } from './image-patches.mjs';
import { runStrategy } from './multiscale-strategies.mjs';
import { TASKS, imageTask } from './multiscale-tasks.mjs';
import { processorSeconds, readRecord, replaceTable, writeRecord } from './record.mjs';

const PAGE = 'multiscale-training.md';
const CELLS = [64, 128, 256, 512, 1024];
const SIZE = 64;
const LEVELS = 2;

const everySecond = (u) => u.slice(2, 0, u.shape[2], 2);

/** Mean square of (op_h u) at every second cell minus op_2h (u at every second cell). */
const gap = (apply, u) =>
  tidy(() =>
    everySecond(apply(u))
      .sub(apply(everySecond(u)))
      .pow(2)
      .mean()
      .item(),
  );

/** One convolution on unit noise of each cell and on a field of five modes. */
function layers({ seed }) {
  const float64 = { dtype: 'float64' };
  // Gaussian of standard deviation sqrt(2) / 30 of the domain and its derivative; a smoothing stencil of noise gain 1/2.
  const moments = tensor([0.94, 0.01, 1 / 30], { shape: [1, 1, 3], ...float64 });
  const stencil = tensor([0.5, 0.5, 0.05], { shape: [1, 1, 3], ...float64 });
  const operators = {
    'mesh-free': (u) => meshFreeConv1d(u, moments),
    '3-point': (u) => conv1d(u.pad([1, 1], { mode: 'circular' }), stencil),
  };
  const smooth = (n) => {
    const phase = (k, i) => (2 * Math.PI * k * i) / n;
    const at = (i) => [1, 2, 3, 4, 5].reduce((sum, k) => sum + Math.sin(phase(k, i) + k) / k, 0);
    return tensor(
      Float64Array.from({ length: n }, (_, i) => at(i)),
      { shape: [1, 1, n] },
    );
  };
  const rows = CELLS.flatMap((cells) => {
    const fields = {
      noise: randn([2000, 1, cells], { ...float64, seed: seed + cells }),
      smooth: smooth(cells),
    };
    return Object.entries(operators).map(([operator, apply]) => ({
      ...{ operator, cells, noise: gap(apply, fields.noise), smooth: gap(apply, fields.smooth) },
    }));
  });
  return { rows };
}

/** The gradient in all parameters, one after the other. */
function gradientOf(model, loss) {
  loss.backward();
  return model.parameters().flatMap((p) => {
    const values = [...p.grad.dataSync()];
    p.grad.dispose();
    p.grad = null;
    return values;
  });
}

/** For each parameter: variance over rows, and square of the mean without what the variance adds to it. */
function moments(rows) {
  return rows[0].map((_, i) => {
    const mean = rows.reduce((sum, row) => sum + row[i], 0) / rows.length;
    const deviations = rows.reduce((sum, row) => sum + (row[i] - mean) ** 2, 0);
    const variance = deviations / (rows.length - 1);
    return { variance, square: mean * mean - variance / rows.length };
  });
}

/** Mean over parameters of a moment in units of the variance on the finest mesh: free of the parameters' units. */
function relative(values, key, finest) {
  const ratios = values.flatMap((v, i) =>
    finest[i].variance > 0 ? [v[key] / finest[i].variance] : [],
  );
  return ratios.reduce((a, b) => a + b, 0) / ratios.length;
}

/**
 * Over samples of one image: variance of the gradient on each mesh, variance of its difference to that on the next
 * coarser mesh, square of the mean difference.
 */
async function gradients(settings, folder) {
  const { convolution, restriction, steps, samples, seed } = settings;
  const task = await imageTask(settings.task, folder, { size: SIZE, seed });
  manualSeed(seed);
  const options = { channels: 16, blocks: 2, convolution, time: task.time };
  const model = new models.MFCNet({ ...options, meshFreeOptions: { width: 1.5 / SIZE } });
  if (steps > 0) {
    const schedule = { strategy: 'small', iterations: [steps], batchSize: 4, points: 1 };
    await runStrategy(model, task, { ...schedule, restriction: null, learningRate: 3e-3 });
  }
  const rows = Array.from({ length: LEVELS + 1 }, () => ({ own: [], difference: [] }));
  for (let i = 0; i < samples; i++) {
    tidy(() => {
      let batch = task.sample(1);
      let finer = null;
      for (let level = 0; level <= LEVELS; level++) {
        if (level > 0) {
          batch = batch.map((t) => (t.ndim === 4 ? train.restrict(t, restriction) : t));
        }
        const own = gradientOf(model, task.loss(model, batch));
        rows[level].own.push(own);
        if (finer) rows[level - 1].difference.push(finer.map((v, k) => v - own[k]));
        finer = own;
      }
    });
  }
  const finest = moments(rows[0].own);
  const levels = rows.map(({ own, difference }) => {
    const to = difference.length > 0 ? moments(difference) : null;
    return {
      variance: relative(moments(own), 'variance', finest),
      difference: to && relative(to, 'variance', finest),
      bias: to && relative(to, 'square', finest),
    };
  });
  return { levels };
}

const number = (v) => (v === null ? '' : v < 0.01 ? v.toExponential(1) : v.toFixed(2));

async function writeTables() {
  const { rows } = await readRecord('mesh-convergence-layers');
  const row = (operator, kind) => [
    `${operator}, ${kind === 'noise' ? 'noise' : 'five modes'}`,
    ...rows.filter((r) => r.operator === operator).map((r) => r[kind].toExponential(1)),
  ];
  await replaceTable(
    PAGE,
    'mesh-convergence-layers',
    ['cells of the finer mesh', ...CELLS],
    [
      ...[row('mesh-free', 'noise'), row('3-point', 'noise')],
      ...[row('mesh-free', 'smooth'), row('3-point', 'smooth')],
    ],
  );
  const records = (await Promise.all(runs().map((run) => readRecord(nameOf(run))))).filter(Boolean);
  await replaceTable(
    PAGE,
    'mesh-convergence-gradients',
    [
      ...['task', 'convolution', 'restriction', 'steps before'],
      ...[
        'variance, 64 to 32',
        'variance, 32 to 16',
        'squared mean, 64 to 32',
        'squared mean, 32 to 16',
      ],
    ],
    records.map((r) => [
      ...[r.task ?? 'denoising', r.convolution, r.restriction, r.steps],
      ...r.levels.slice(0, LEVELS).map(({ difference }) => number(difference)),
      ...r.levels.slice(0, LEVELS).map(({ bias }) => number(bias)),
    ]),
  );
}

const nameOf = ({ part, task, convolution, restriction, steps }) => {
  if (part === 'layers') return 'mesh-convergence-layers';
  const own = task === 'denoising' ? [] : [task];
  return ['mesh-convergence-gradients', ...own, convolution, restriction, steps].join('-');
};

/** Everything that the tables show. */
function runs() {
  const both = ['mesh-free', '3x3'];
  const noisy = both.flatMap((convolution) =>
    ['nearest', 'mean'].flatMap((restriction) =>
      [0, 300].map((steps) => ({ task: 'denoising', convolution, restriction, steps })),
    ),
  );
  const others = ['deblurring', 'super-resolution'].flatMap((task) =>
    both.map((convolution) => {
      return { task, convolution, restriction: TASKS[task].restriction, steps: 300 };
    }),
  );
  return [...noisy, ...others].map((run) => ({ part: 'gradients', ...run }));
}

const { values: args } = parseArgs({
  options: {
    part: { type: 'string', default: 'layers' },
    task: { type: 'string', default: 'denoising' },
    convolution: { type: 'string', default: 'mesh-free' },
    restriction: { type: 'string', default: 'nearest' },
    steps: { type: 'string', default: '0' },
    samples: { type: 'string', default: '200' },
    seed: { type: 'string', default: '0' },
    data: { type: 'string', default: IMAGES },
    all: { type: 'boolean' },
    tables: { type: 'boolean' },
  },
});

if (args.tables) {
  await writeTables();
} else if (args.all) {
  for (const one of [{ part: 'layers' }, ...runs()]) {
    if (await readRecord(nameOf(one))) continue;
    const words = Object.entries(one).flatMap(([key, value]) => [`--${key}`, String(value)]);
    execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...words], {
      stdio: 'inherit',
    });
  }
} else {
  const { part, task, convolution, restriction } = args;
  if (!['layers', 'gradients'].includes(part))
    throw new Error(`--part must be layers or gradients, got ${part}`);
  const own =
    part === 'layers'
      ? {}
      : {
          task,
          convolution,
          restriction,
          steps: Number(args.steps),
          samples: Number(args.samples),
        };
  const settings = { ...own, seed: Number(args.seed) };
  const result = part === 'layers' ? layers(settings) : await gradients(settings, args.data);
  const record = { part, ...settings, ...result, seconds: processorSeconds() };
  console.log(`wrote ${await writeRecord(nameOf({ part, ...settings }), record)}`);
}
