// Builds the CUDA plug-in where nvcc is.   npm run build:cuda [-- --architectures 90-real --fast]
// Default architectures: 75, 80, 86, 89, 90, 100 with PTX for the newest (cuda/CMakeLists.txt). The report of ptxas
// goes to build/cuda/ptxas.log, which scripts/cuda-resources.mjs reads.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const folder = path.join(root, 'build/cuda');
const { values } = parseArgs({ options: { architectures: { type: 'string' } } });

function run(command, args, stdio = 'inherit') {
  const result = spawnSync(command, args, { cwd: root, stdio, encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (result.error) console.error(`cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) {
    if (result.stdout) console.error(result.stdout.slice(-8000));
    process.exit(result.status ?? 1);
  }
  return result.stdout;
}

mkdirSync(folder, { recursive: true });
run('cmake', [
  ...['-S', root, '-B', folder, '-DFLUXION_CUDA=ON', '-DFLUXION_BASELINE_ONLY=ON'],
  '-DCMAKE_BUILD_TYPE=Release',
  ...(values.architectures ? [`-DCMAKE_CUDA_ARCHITECTURES=${values.architectures}`] : []),
]);
const log = run(
  'cmake',
  ['--build', folder, '--target', 'fluxion_cuda', '--parallel', '2'],
  ['ignore', 'pipe', 'inherit'],
);
writeFileSync(path.join(folder, 'ptxas.log'), log, { flag: 'a' });
console.log('build/cuda/Release/libfluxion_cuda.so');
