// Denoising of real images, x_t = t x + (1 - t) z, with t uniform in [0, 1] and z unit noise, by networks of mesh-free
// and of 3x3 convolutions, trained on one mesh and by multiscale strategies (multiscale-strategies.mjs).
//
//     node examples/experiments/multiscale-denoising.mjs [--convolution mesh-free|3x3]
//         [--strategy single|small|long|gradient|full|full-quarter] [--restriction nearest|mean] [--seed S]
//         [--size 64] [--iterations 400,200,100] [--batch 4] [--channels 16] [--rate R] [--data folder]
//     node examples/experiments/multiscale-denoising.mjs --all [--seeds 0,1,2] [--strategies ...] [--restrictions ...]
//     node examples/experiments/multiscale-denoising.mjs --tables
//
// One run writes docs/systems/results/multiscale-denoising-<size>-<run>.json; --all makes those that are missing;
// --tables writes tables and figures of docs/systems/multiscale-training.md from what is there.

import { fileURLToPath } from 'node:url';
import { multiscaleExperiment } from './multiscale-experiment.mjs';

await multiscaleExperiment(fileURLToPath(import.meta.url), {
  task: 'denoising',
  iterations: '400,200,100',
  rates: { 'mesh-free': 6e-3, '3x3': 3e-3 },
  restrictions: 'nearest,mean',
});
