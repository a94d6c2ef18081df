// Moves an object from one corner of an image to the opposite one with a single layer: the toy problem of the paper of
// the advection augmented networks (arXiv 2406.19253). A layer of advection, diffusion and reaction learns it; a
// residual layer of two 3x3 convolutions cannot, since it sees two cells far and the way is 18 cells long each way.
//
//     node examples/adrnn-toy.mjs [--steps N] [--seed S] [--output folder]
//
// Writes toy.png (input, target, prediction, velocity) and toy.gif (the way of the objects) into the output folder.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  implicitDiffusion2d,
  manualSeed,
  models,
  noGrad,
  optim,
  stack,
  tensor,
  tidy,
  train,
} from '../dist/index.mjs';

const { values: args } = parseArgs({
  options: {
    steps: { type: 'string', default: '400' },
    seed: { type: 'string', default: '0' },
    output: { type: 'string', default: 'adrnn-toy-output' },
  },
});
const steps = Number(args.steps);
const seed = Number(args.seed);

const SIDE = 32;
const WAY = 18;

/** Numbers in [0, 1) from a seed. */
function numbers(state) {
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

const SHAPES = [
  () => true, // square
  (a, b, radius) => Math.hypot(a, b) <= radius + 0.3, // disc
  (a, b) => a < 1 || b < 1, // cross
];

/** Squares, discs and crosses near the upper left corner, and the same WAY cells further down and right. */
function scenes(random, count) {
  const input = new Float32Array(count * SIDE * SIDE);
  const target = new Float32Array(count * SIDE * SIDE);
  const below = (n) => Math.floor(n * random());
  for (let k = 0; k < count; k++) {
    const [size, left, top, inside] = [5 + below(3), 1 + below(6), 1 + below(6), SHAPES[below(3)]];
    const middle = (size - 1) / 2;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        if (!inside(Math.abs(i - middle), Math.abs(j - middle), middle)) continue;
        const cell = (k * SIDE + top + i) * SIDE + left + j;
        input[cell] = 1;
        target[cell + WAY * (SIDE + 1)] = 1;
      }
    }
  }
  return [input, target].map((values) => tensor(values, { shape: [count, 1, SIDE, SIDE] }));
}

const misfit = (output, target) => output.sub(target).square().mean().div(target.square().mean());

/**
 * Misfit of the smoothed fields: where two objects do not overlap, the plain misfit has no slope in their distance.
 * The smoothing goes from wider than the image to less than a cell.
 */
function smoothedMisfit(output, target, progress) {
  const width = 1000 * 1e-4 ** Math.min(1, 1.25 * progress);
  const smooth = (u) => implicitDiffusion2d(u, width, { dt: 1 });
  return misfit(smooth(output), smooth(target));
}

function fit(model) {
  const random = numbers(7);
  const optimizer = new optim.Adam(model.parameters(), { learningRate: 0.01 });
  for (let i = 0; i < steps; i++) {
    optimizer.learningRate = 0.01 * Math.min(1, (6 * (i + 1)) / steps, 3 * (1 - i / steps) + 0.02);
    optimizer.zeroGrad();
    tidy(() => {
      const [input, target] = scenes(random, 8);
      smoothedMisfit(model.forward(input), target, i / steps).backward();
      optim.clipGradNorm(optimizer.parameters(), 1);
      optimizer.step();
    });
  }
  const [input, target] = scenes(numbers(99), 64);
  return noGrad(() => tidy(() => misfit(model.forward(input), target).item()));
}

manualSeed(seed);
const layer = new models.ADRLayer(1, {
  ...{ transport: 'mass', velocityChannels: 8, hidden: 8, activation: 'tanh' },
  diffusionOptions: { initial: [0.01, 0.1] },
});
manualSeed(seed);
const residual = new models.MFCNet({ channels: 8, blocks: 1, convolution: '3x3' });
console.log(
  `misfit on new scenes after ${steps} steps, 1 is that of an empty image (seed ${seed})`,
);
for (const [name, model] of [
  ['one ADR layer', layer],
  ['one residual layer', residual],
]) {
  const error = fit(model);
  console.log(`${name.padEnd(20)}${error.toFixed(4)}   ${model.parameterCount()} parameters`);
}

await mkdir(args.output, { recursive: true });
const EXAMPLES = 3;
const [input, target] = scenes(numbers(99), EXAMPLES);
const figures = noGrad(() =>
  tidy(() => {
    const [moved, held, way] = [
      layer.forward(input),
      residual.forward(input),
      layer.displacement(input),
    ];
    const rows = Array.from({ length: EXAMPLES }, (_, k) => [
      ...[input, target, moved, held].map((u) => u.select(0, k).select(0, 0)),
      ...[0, 1].map((axis) =>
        way
          .select(0, k)
          .select(0, axis)
          .mul(1 / 24),
      ),
    ]);
    // The same displacement, a part of it at a time.
    const parts = Array.from({ length: 19 }, (_, i) => i / 18);
    const frames = parts.map((part) => layer.step.advect(input, way.mul(part), 'mass').squeeze());
    return { rows: rows.flat(), frames: stack(frames) };
  }),
);
const titles = [
  'input',
  'target',
  'ADR layer',
  'residual layer',
  'way, x (1 = 24 cells)',
  'way, y',
];
await train.saveFieldImages(figures.rows, path.join(args.output, 'toy.png'), {
  ...{ columns: titles.length, titles, range: [0, 1] },
});
await train.saveAnimation(figures.frames, path.join(args.output, 'toy.gif'), { range: [0, 1] });
console.log(`wrote ${args.output}/toy.png and ${args.output}/toy.gif`);
