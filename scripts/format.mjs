// Formats the sources: Prettier for everything it knows, clang-format for C++ and CUDA.
//   node scripts/format.mjs [--check]

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const check = process.argv.includes('--check');

const CPP_FOLDERS = ['native', 'cuda', 'test/native', 'bench'];
const CPP_FILE = /\.(cpp|h|inl|def|cu|cuh)$/;

const cppFiles = CPP_FOLDERS.filter((folder) => existsSync(path.join(root, folder))).flatMap(
  (folder) =>
    readdirSync(path.join(root, folder), { recursive: true })
      .filter((file) => CPP_FILE.test(file))
      .map((file) => path.join(folder, file)),
);

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(error.message);
  return status === 0;
}

const prettier = path.join(
  path.dirname(require.resolve('prettier/package.json')),
  'bin/prettier.cjs',
);
const prettierMode = check ? '--check' : '--write';
const formatted = [
  run(process.execPath, [prettier, prettierMode, '--log-level=warn', '--ignore-unknown', '.']),
  cppFiles.length === 0 ||
    run(process.execPath, [
      require.resolve('clang-format'),
      ...(check ? ['--dry-run', '-Werror'] : ['-i']),
      '--style=file',
      ...cppFiles,
    ]),
];
if (formatted.includes(false)) {
  if (check) console.error('Run `npm run format`.');
  process.exit(1);
}
