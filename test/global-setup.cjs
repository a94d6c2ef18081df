'use strict';
// Programs that tests start as processes of their own run the compiled library: bring dist/ up to date.
const { spawnSync } = require('node:child_process');
const { existsSync, readdirSync, statSync } = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');

function newest(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce(
      (time, entry) =>
        Math.max(time, statSync(path.join(entry.parentPath ?? entry.path, entry.name)).mtimeMs),
      0,
    );
}

module.exports = () => {
  const built = path.join(root, 'dist/index.mjs');
  if (existsSync(built) && statSync(built).mtimeMs > newest(path.join(root, 'lib'))) return;
  const { status } = spawnSync('npm', ['run', '--silent', 'build:ts'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('npm run build:ts failed');
};
