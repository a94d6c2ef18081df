// Builds the CUDA kernels for the host execution layer and runs the tests of device 'cuda' on it.
//   node scripts/cuda-host.mjs [--schedules N] [--only PATTERN] [--build] [--json FILE] [--sanitize]
// N random schedules besides the one in order (default 1); --build stops after the build. --sanitize builds with the
// address and the undefined-behaviour sanitizer, whose runtime the tests then load first, and runs one random schedule.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '1' },
    only: { type: 'string' },
    build: { type: 'boolean', default: false },
    json: { type: 'string' },
    sanitize: { type: 'boolean', default: false },
  },
});
const folder = path.join(root, values.sanitize ? 'build/cuda-host-sanitize' : 'build/cuda-host');

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error) console.error(error.message);
  if (status !== 0) process.exit(status ?? 1);
}

run('cmake', [
  ...['-S', root, '-B', folder],
  '-DFLUXION_CUDA_HOST=ON',
  '-DFLUXION_BASELINE_ONLY=ON',
  '-DFLUXION_WERROR=ON',
  '-DCMAKE_BUILD_TYPE=Release',
  ...(values.sanitize ? ['-DFLUXION_SANITIZE=address,undefined'] : []),
]);
run('cmake', ['--build', folder, '--target', 'fluxion_cuda_host', '--parallel', '2']);
if (values.build) process.exit(0);

const plugin = path.join(folder, 'Release/libfluxion_cuda_host.so');
const only = values.only ? ['-t', values.only] : [];

/** What a program needs that loads a sanitized library: the runtime first, no search for leaks at the end of Node. */
function sanitizerEnvironment() {
  const { stdout } = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  return {
    LD_PRELOAD: stdout.trim(),
    ASAN_OPTIONS: 'detect_leaks=0,halt_on_error=1,abort_on_error=1',
    UBSAN_OPTIONS: 'halt_on_error=1,print_stacktrace=1',
  };
}

if (values.sanitize) {
  run('npx', ['jest', '-i', 'test/cuda', 'test/ops/parity', ...only], {
    ...{ FLUXION_CUDA_PLUGIN: plugin, FLUXION_CUDA_SCHEDULE: '1' },
    ...sanitizerEnvironment(),
  });
  process.exit(0);
}

for (let schedule = 0; schedule <= Number(values.schedules); schedule++) {
  console.log(`--- schedule ${schedule}`);
  const json = values.json && schedule === 0 ? ['--json', `--outputFile=${values.json}`] : [];
  run('npx', ['jest', 'test/cuda', 'test/ops/parity', ...only, ...json], {
    FLUXION_CUDA_PLUGIN: plugin,
    FLUXION_CUDA_SCHEDULE: String(schedule),
  });
}

// Lines of transforms that are split more than once, as those beyond 2^24 points are on a GPU.
if (!values.only) {
  run('npx', ['jest', 'test/cuda/spectral', '-t', 'fft \\[|dct|dst'], {
    FLUXION_CUDA_PLUGIN: plugin,
    FLUXION_CUDA_SHARED: '2',
  });
}

// Matrix products in TF32 and, with the accuracy that parity asks for, in three terms of it.
run('npx', ['jest', 'test/cuda/tf32'], { FLUXION_CUDA_PLUGIN: plugin, FLUXION_CUDA_TF32: '1' });
if (!values.only) {
  run('npx', ['jest', 'test/cuda/tf32', 'test/ops/parity', '-t', 'matmul|linear|conv|products'], {
    FLUXION_CUDA_PLUGIN: plugin,
    FLUXION_CUDA_TF32: '3',
  });
}
