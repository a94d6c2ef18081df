// Super-resolution of real images by 2: the mean of 2 x 2 cells, enlarged linearly, plus what the network adds; the loss
// is 1 - SSIM. Networks, strategies, options and what is written: multiscale-denoising.mjs.
//
//     node examples/experiments/multiscale-super-resolution.mjs [--convolution ...] [--strategy ...] [--seed S] [...]
//     node examples/experiments/multiscale-super-resolution.mjs --all [--seeds 0,1] | --tables

import { fileURLToPath } from 'node:url';
import { multiscaleExperiment } from './multiscale-experiment.mjs';

await multiscaleExperiment(fileURLToPath(import.meta.url), {
  task: 'super-resolution',
  iterations: '400,200,100',
  rates: { 'mesh-free': 6e-3, '3x3': 3e-3 },
});
