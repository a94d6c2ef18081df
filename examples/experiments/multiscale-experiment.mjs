// The multiscale experiments of one task: command line, runs and records. Tables and figures: multiscale-report.mjs.

import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { manualSeed, models, tidy } from '../../dist/index.mjs';
import { IMAGES } from './image-patches.mjs';
import { writeTables } from './multiscale-report.mjs';
import { STRATEGIES, runStrategy } from './multiscale-strategies.mjs';
import { TASKS, imageTask } from './multiscale-tasks.mjs';
import { readRecord, writeRecord } from './record.mjs';

const CONVOLUTIONS = ['mesh-free', '3x3'];
const RESTRICTIONS = ['nearest', 'mean'];
const oneMesh = (strategy) => ['single', 'long', 'small'].includes(strategy);

/** The name of a run's record. Strategies on one mesh do not restrict. */
export function recordName(task, { size, convolution, strategy, restriction, seed }) {
  const transfer = oneMesh(strategy) ? [] : [restriction];
  return [`multiscale-${task}`, size, convolution, strategy, ...transfer, seed].join('-');
}

function options(defaults) {
  const given = { type: 'string' };
  const text = (value) => ({ type: 'string', default: String(value) });
  return {
    ...{ convolution: text('mesh-free'), strategy: text('full') },
    restriction: text(TASKS[defaults.task].restriction),
    ...{ size: text(64), iterations: text(defaults.iterations), batch: text(4) },
    ...{ channels: text(16), rate: given, points: text(24), seed: text(0), data: text(IMAGES) },
    ...{ all: { type: 'boolean' }, seeds: text('0,1,2'), tables: { type: 'boolean' } },
    strategies: text(Object.keys(STRATEGIES)),
    restrictions: text(defaults.restrictions ?? TASKS[defaults.task].restriction),
  };
}

function requireOneOf(name, value, known) {
  if (!known.includes(value)) {
    throw new Error(`--${name} must be one of ${known.join(', ')}, got ${value}`);
  }
}

function makeModel({ channels, convolution, size }, time) {
  // Gaussians of 1.5 cells of the finest mesh, whose width is 1 / size.
  const meshFreeOptions = { width: 1.5 / size };
  return new models.MFCNet({ channels, blocks: 2, convolution, time, meshFreeOptions });
}

/** Compiles what a step needs, on every mesh, so that no run pays for it. */
function warmUp(settings, task) {
  const model = makeModel(settings, task.time);
  for (let size = settings.size; size >= 16; size /= 2) {
    for (let i = 0; i < 10; i++) {
      tidy(() => {
        const batch = task.sample(2).map((t) => (t.ndim === 4 ? crop(t, size, settings.size) : t));
        task.loss(model, batch).backward();
        model.parameters().forEach((p) => (p.grad = null));
      });
    }
  }
}

/** The corner of a field: its width over `fraction` for one of the whole. */
function crop(t, size, whole) {
  const side = (t.shape[2] * size) / whole;
  return t.slice(2, 0, side).slice(3, 0, side);
}

async function run(name, settings, folder) {
  const { convolution, strategy, seed } = settings;
  const task = await imageTask(name, folder, settings);
  warmUp(settings, task);
  manualSeed(seed);
  const model = makeModel(settings, task.time);
  const parameters = model.parameterCount();
  console.log(`${name}, ${convolution}, ${parameters} parameters, ${strategy}, seed ${seed}`);
  const report = (point) =>
    console.log(
      `stage ${point.stage}  ${point.workUnits.toFixed(0).padStart(6)} work units  ` +
        `${point.seconds.toFixed(1).padStart(6)} s  loss ${point.loss.toFixed(5)}`,
    );
  const result = await runStrategy(model, task, { ...settings, report });
  const last = result.curve.at(-1);
  const file = await writeRecord(recordName(name, settings), {
    ...{ task: name, ...settings, parameters, idleLoss: task.idleLoss },
    ...{ loss: last.loss, seconds: last.seconds, wallSeconds: last.wallSeconds, ...result },
  });
  console.log(`wrote ${file}`);
}

/** Each missing run in a process of its own, so that its command makes it again. */
async function runAll(script, name, args, settings) {
  const runs = args.seeds.split(',').flatMap((seed) =>
    CONVOLUTIONS.flatMap((convolution) =>
      args.strategies.split(',').flatMap((strategy) => {
        requireOneOf('strategies', strategy, Object.keys(STRATEGIES));
        const all = oneMesh(strategy) ? [null] : args.restrictions.split(',');
        return all.map((restriction) => ({ seed, convolution, strategy, restriction }));
      }),
    ),
  );
  const shared = ['size', 'iterations', 'batch', 'channels', 'points', 'data'].flatMap((key) =>
    args[key] === options(settings)[key].default ? [] : [`--${key}`, args[key]],
  );
  for (const one of runs) {
    if (await readRecord(recordName(name, { ...one, size: args.size }))) continue;
    const own = Object.entries(one).flatMap(([key, value]) =>
      value === null ? [] : [`--${key}`, value],
    );
    execFileSync(process.execPath, [script, ...own, ...shared], { stdio: 'inherit' });
  }
}

/** Reads the command line of one task's script and does what it asks for. */
export async function multiscaleExperiment(script, defaults) {
  const { task } = defaults;
  const { values: args } = parseArgs({ options: options(defaults) });
  if (args.tables) return writeTables(task);
  if (args.all) return runAll(script, task, args, defaults);
  requireOneOf('convolution', args.convolution, CONVOLUTIONS);
  requireOneOf('strategy', args.strategy, Object.keys(STRATEGIES));
  requireOneOf('restriction', args.restriction, RESTRICTIONS);
  const { convolution, strategy } = args;
  const restriction = oneMesh(strategy) ? null : args.restriction;
  const numbers = { size: args.size, channels: args.channels, points: args.points };
  const settings = {
    ...{ convolution, strategy, restriction, seed: Number(args.seed) },
    ...Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, Number(value)])),
    ...{ iterations: args.iterations.split(',').map(Number), batchSize: Number(args.batch) },
    learningRate: Number(args.rate ?? defaults.rates[convolution]),
  };
  return run(task, settings, args.data);
}
