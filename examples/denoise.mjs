// Trains a mesh-free network to remove noise from images, coarse to fine, beside the same network on the finest mesh
// alone, and draws what both have learned and what it cost.
//
//     node examples/denoise.mjs [--convolution mesh-free|3x3] [--steps 400] [--seed S] [--data folder] [--output folder]
//
// The data: a folder with train400 (180 x 180) and set12, grey PNG images. Writes images.png (input, target, prediction
// and error of both) and loss.png (validation loss against work units) into the output folder.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { manualSeed, models, noGrad, train } from '../dist/index.mjs';
import { IMAGES } from './experiments/image-patches.mjs';
import { runStrategy } from './experiments/multiscale-strategies.mjs';
import { imageTask } from './experiments/multiscale-tasks.mjs';

const { values: args } = parseArgs({
  options: {
    convolution: { type: 'string', default: 'mesh-free' },
    steps: { type: 'string', default: '400' },
    seed: { type: 'string', default: '0' },
    data: { type: 'string', default: IMAGES },
    output: { type: 'string', default: 'denoise-output' },
  },
});
const { convolution } = args;
const steps = Number(args.steps);
const seed = Number(args.seed);
const size = 64;

// Noise is a field to a mesh-free convolution, which knows lengths, and belongs to the cells for a stencil.
const restriction = convolution === 'mesh-free' ? 'mean' : 'nearest';
const settings = {
  ...{ iterations: [steps, steps / 2, steps / 4].map(Math.round), batchSize: 4, points: 24 },
  ...{ learningRate: convolution === 'mesh-free' ? 6e-3 : 3e-3, restriction },
};

async function trained(strategy) {
  const task = await imageTask('denoising', args.data, { size, seed });
  manualSeed(seed);
  const meshFreeOptions = { width: 1.5 / size };
  const model = new models.MFCNet({ channels: 16, convolution, time: true, meshFreeOptions });
  console.log(`${strategy}: ${convolution} convolutions, ${model.parameterCount()} parameters`);
  const { curve } = await runStrategy(model, task, { ...settings, strategy });
  const { workUnits, seconds, loss } = curve.at(-1);
  console.log(`  loss ${loss.toFixed(4)}, ${workUnits} work units, ${seconds} processor seconds`);
  return { strategy, task, model, curve };
}

const runs = [await trained('full'), await trained('single')];
await mkdir(args.output, { recursive: true });

// Patches of four images at four noise levels; from left to right: input, target, and of both trainings the prediction
// and its error (grey: none).
const [input, target] = runs[0].task.parts[1];
const outputs = runs.map(({ task, model }) =>
  noGrad(() => task.predict(model, runs[0].task.parts[1])),
);
const fields = [input, target, ...outputs.flatMap((output) => [output, output.sub(target)])];
const pictures = [1, 4, 6, 11].flatMap((i) =>
  fields.map((field) => field.select(0, i).select(0, 0)),
);
const look = { colormap: 'gray', range: [-1, 1], columns: fields.length, cell: 2 };
await train.saveFieldImages(pictures, path.join(args.output, 'images.png'), look);

const values = runs.flatMap(({ strategy, curve }) =>
  curve.slice(1).map((point) => ({ ...point, strategy })),
);
const logarithmic = { type: 'log', nice: false };
const chart = {
  ...{ width: 480, height: 240, data: { values }, mark: { type: 'line', point: true } },
  encoding: {
    x: { field: 'workUnits', type: 'quantitative', title: 'work units', scale: logarithmic },
    y: { field: 'loss', type: 'quantitative', title: 'validation loss', scale: logarithmic },
    color: { field: 'strategy', type: 'nominal', title: null },
  },
};
await train.saveFigure([{ chart }], path.join(args.output, 'loss.png'));
console.log(`wrote ${args.output}/images.png and ${args.output}/loss.png`);
