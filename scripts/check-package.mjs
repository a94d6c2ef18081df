// Packs the package as it would be published and checks the tarball: its size, publint, are-the-types-wrong, and that
// programs of users compile against its declarations, as ES modules and as CommonJS.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const LIMIT_MB = 8;

const folder = mkdtempSync(path.join(tmpdir(), 'fluxion-pack-'));
const failures = [];

function run(name, args) {
  console.log(`--- ${name}`);
  const bin = path.join(root, 'node_modules/.bin', name);
  const { status } = spawnSync(bin, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) failures.push(name);
}

try {
  const packed = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const answer = JSON.parse(packed);
  const { filename, files } = Array.isArray(answer) ? answer[0] : Object.values(answer)[0];
  const tarball = path.join(folder, filename);
  const megabytes = statSync(tarball).size / 1e6;
  const binaries = files.filter(({ path: file }) => file.endsWith('.node'));
  const shown = binaries.map(({ path: file }) => file).join(', ') || 'no binary';
  console.log(`${filename}: ${megabytes.toFixed(2)} MB, ${files.length} files, ${shown}`);
  if (megabytes >= LIMIT_MB) failures.push(`the tarball has ${LIMIT_MB} MB or more`);
  run('publint', [tarball, '--strict']);
  run('attw', [tarball]);
  run('tsc', ['-p', 'tsconfig.consumer.json']);
} finally {
  rmSync(folder, { recursive: true });
}
if (failures.length > 0) console.error(`Failed: ${failures.join(', ')}`);
process.exit(failures.length > 0 ? 1 : 0);
