// The tests of device 'cuda' on a machine with a GPU.   npm run test:cuda [-- --sanitize]
// Parity of every case with the CPU in every dtype, tensors, captured steps. --sanitize: a subset under
// compute-sanitizer's memcheck and racecheck too.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { sanitize: { type: 'boolean', default: false }, json: { type: 'string' } },
});
/** A case of each kind of kernel: planes in shared memory, tiles, scatter, sums, products. */
const SUBSET = 'implicitDiffusion2d|semiLagrangian|upwind|spectralDiffusion2d|conv2d|softmax|indexSelect';

const built = path.join(root, 'build/cuda/Release/libfluxion_cuda.so');
if (existsSync(built)) process.env.FLUXION_CUDA_PLUGIN ??= built;
const { devices } = createRequire(import.meta.url)('../dist/index.js');
const found = devices().find(({ device }) => device.startsWith('cuda'));
if (found.reason) {
  console.error(`test:cuda needs a GPU: ${found.reason}`);
  process.exit(1);
}
console.log(`${found.name}, ${(found.memory / 1e9).toFixed(0)} GB`);

const jest = path.join(root, 'node_modules/jest/bin/jest.js');
function run(prefix, args) {
  const [command, ...rest] = [...prefix, process.execPath, jest, ...args];
  return spawnSync(command, rest, { cwd: root, stdio: 'inherit' }).status === 0;
}

const report = values.json ? ['--json', `--outputFile=${values.json}`] : [];
let passed = run([], ['-i', 'test/cuda', 'test/ops/parity', ...report]);
if (values.sanitize) {
  for (const tool of ['memcheck', 'racecheck']) {
    console.log(`--- compute-sanitizer ${tool}`);
    const prefix = ['compute-sanitizer', '--tool', tool, '--error-exitcode', '9', '--target-processes', 'all']; // prettier-ignore
    passed = run(prefix, ['-i', 'test/ops/parity', '-t', SUBSET]) && passed;
  }
}
process.exit(passed ? 0 : 1);
