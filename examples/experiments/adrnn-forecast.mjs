// Forecasts at a long horizon: ADRNN 'split' against a residual network and a small U-Net of equal parameters, trained
// for the same processor time of one thread.
//
//     node examples/experiments/adrnn-forecast.mjs --set mnist|digits|water --network adrnn|resnet|unet [--seed S]
//                                             [--budget processor seconds] [--variant name] [--output folder]
//     node examples/experiments/adrnn-forecast.mjs --all [--seed S]     every run that has no record yet
//     node examples/experiments/adrnn-forecast.mjs --tables             the tables of docs/systems/adrnn.md
//     node examples/experiments/adrnn-forecast.mjs --figures            the figures, from the weights in --output
//
// Set FLUXION_NUM_THREADS=1. The sets: adrnn-forecast/tasks.mjs; what is compared: networks.mjs; how: training.mjs.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { data, manualSeed } from '../../dist/index.mjs';
import { drawFigures } from './adrnn-forecast/figures.mjs';
import { NETWORKS, VARIANTS, makeNetwork } from './adrnn-forecast/networks.mjs';
import { writeTables } from './adrnn-forecast/tables.mjs';
import { TASKS } from './adrnn-forecast/tasks.mjs';
import { trainFor } from './adrnn-forecast/training.mjs';
import { readRecord, writeRecord } from './record.mjs';

const SETS = Object.keys(TASKS);

const { values: args } = parseArgs({
  options: {
    set: { type: 'string' },
    network: { type: 'string' },
    variant: { type: 'string', default: 'base' },
    seed: { type: 'string', default: '0' },
    budget: { type: 'string', default: '120' },
    output: { type: 'string', default: 'adrnn-forecast-output' },
    all: { type: 'boolean', default: false },
    tables: { type: 'boolean', default: false },
    figures: { type: 'boolean', default: false },
  },
});

function oneOf(name, value, values) {
  if (!values.includes(value)) throw new Error(`--${name} must be one of ${values.join(', ')}`);
  return value;
}

const runName = (set, network, variant, seed) =>
  `adrnn-${set}-${network}${variant === 'base' ? '' : `-${variant}`}-${seed}`;

async function run(set, name, variant, seed, budget) {
  manualSeed(seed);
  const task = TASKS[set];
  const source = await task.load({ seed, folder: args.output });
  const { model, network, settings } = makeNetwork(set, name, variant);
  const title = runName(set, name, variant, seed);
  const trained = await trainFor(model, {
    ...{ budget, learningRate: task.settings.learningRate },
    lossOf: task.lossOf(model, source, seed),
    log: ({ step, seconds, loss }) =>
      console.log(`${title}: step ${step}, ${seconds.toFixed(0)} s, loss ${loss.toFixed(4)}`),
  });
  model.eval();
  const record = {
    ...{ set, network: name, variant, seed, budget },
    parameters: network.parameterCount(),
    settings: { ...settings, ...task.settings },
    ...{ steps: trained.steps, seconds: trained.seconds, ...task.evaluate(model, source) },
    history: trained.history.filter((_, i) => i % 4 === 3),
  };
  await mkdir(args.output, { recursive: true });
  await data.saveSafetensors(model.stateDict(), path.join(args.output, `${title}.safetensors`));
  const file = await writeRecord(title, record);
  console.log(`${title}: last ${record.last}; wrote ${file}`);
}

if (args.tables) {
  await writeTables(SETS, NETWORKS);
} else if (args.figures) {
  await drawFigures(args.output, Number(args.seed));
} else {
  const seed = Number(args.seed);
  const chosen = args.all
    ? SETS.flatMap((set) => NETWORKS.map((network) => [set, network]))
    : [[oneOf('set', args.set, SETS), oneOf('network', args.network, NETWORKS)]];
  oneOf('variant', args.variant, VARIANTS);
  for (const [set, network] of chosen) {
    if (args.all && (await readRecord(runName(set, network, args.variant, seed)))) continue;
    await run(set, network, args.variant, seed, Number(args.budget));
  }
}
