// Deblurring of real images: (1 - t) blur(x) + t z with t uniform in [0, 0.1], a Gaussian blur of 3 cells and unit noise
// z. Networks, strategies, options and what is written: multiscale-denoising.mjs.
//
//     node examples/experiments/multiscale-deblurring.mjs [--convolution ...] [--strategy ...] [--seed S] [...]
//     node examples/experiments/multiscale-deblurring.mjs --all [--seeds 0,1] | --tables

import { fileURLToPath } from 'node:url';
import { multiscaleExperiment } from './multiscale-experiment.mjs';

await multiscaleExperiment(fileURLToPath(import.meta.url), {
  task: 'deblurring',
  iterations: '400,200,100',
  rates: { 'mesh-free': 6e-3, '3x3': 3e-3 },
});
