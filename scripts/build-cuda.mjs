// Builds the CUDA plug-in where nvcc is.   npm run build:cuda [-- --architectures 90-real --check]
// Default architectures: 75, 80, 86, 89, 90, 100 with PTX for the newest (cuda/CMakeLists.txt).
//
// --check is what continuous integration does (npm run check:cuda): the whole plug-in for one architecture, compiled
// fast, in build/cuda-check, where the library does not look for it; without nvcc a line that says so. The plug-in is
// then loaded, which must answer with a device or with the reason why there is none, and the registers, spills and
// shared memory of kernels whose sources have changed are compared (scripts/cuda-resources.mjs).

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { architectures: { type: 'string' }, check: { type: 'boolean', default: false } },
});

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error) console.error(`cannot run ${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

function build(folder, architectures, options) {
  run('cmake', [
    ...['-S', root, '-B', folder, '-DFLUXION_CUDA=ON', '-DFLUXION_BASELINE_ONLY=ON'],
    ...['-DCMAKE_BUILD_TYPE=Release', ...options],
    ...(architectures ? [`-DCMAKE_CUDA_ARCHITECTURES=${architectures}`] : []),
  ]);
  run('cmake', ['--build', folder, '--target', 'fluxion_cuda', '--parallel', '2']);
  return path.join(folder, 'Release/libfluxion_cuda.so');
}

/** Loads a plug-in in a process of its own: a device that works, or a reason that a user can act on. */
const LOAD = `
  const { devices, tensor } = require('./lib');
  const { device, name, reason } = devices().find(({ device }) => device.startsWith('cuda'));
  if (reason === undefined) {
    const sum = tensor([1, 2], { device }).sum().item();
    console.log(device, name, sum);
    process.exit(sum === 3 ? 0 : 1);
  }
  console.log('loaded; no device:', reason);
  if (!/^no (?:NVIDIA driver|CUDA device)/.test(reason)) process.exit(1);
  try {
    tensor([1], { device });
    process.exit(1);
  } catch ({ code, message }) {
    process.exit(code === 'FLUXION_UNSUPPORTED' && message.includes(reason) ? 0 : 1);
  }`;

if (!values.check) {
  build(path.join(root, 'build/cuda'), values.architectures, []);
  console.log('build/cuda/Release/libfluxion_cuda.so');
} else if (spawnSync('nvcc', ['--version']).error) {
  console.log('nvcc is not here: the CUDA plug-in is neither built nor checked');
} else {
  const folder = path.join(root, 'build/cuda-check');
  const plugin = build(folder, values.architectures ?? '90-real', ['-DFLUXION_CUDA_FAST=ON']);
  run(process.execPath, ['-r', './test/register-typescript.cjs', '-e', LOAD], {
    FLUXION_CUDA_PLUGIN: plugin,
  });
  run(process.execPath, ['scripts/cuda-resources.mjs', '--check']);
}
