// Several copies of the package in one process keep their tensors, errors and random numbers apart.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(__dirname, '../..');

test('two copies of the package', () => {
  const copy = mkdtempSync(path.join(tmpdir(), 'fluxion-copy-'));
  try {
    mkdirSync(path.join(copy, 'build/Release'), { recursive: true });
    cpSync(
      path.join(root, 'build/Release/fluxion.node'),
      path.join(copy, 'build/Release/fluxion.node'),
    );
    cpSync(path.join(root, 'dist'), path.join(copy, 'dist'), { recursive: true });
    cpSync(path.join(root, 'package.json'), path.join(copy, 'package.json'));
    symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
    const program = path.join(__dirname, 'programs/two-copies.cjs');
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [program, path.join(copy, 'dist/index.js')],
      // Where FLUXION_PREBUILD names one addon for all, each copy must still find its own.
      { encoding: 'utf8', env: { ...process.env, FLUXION_PREBUILD: undefined } },
    );
    expect({ stdout, stderr }).toEqual({ stdout: 'apart', stderr: '' });
  } finally {
    rmSync(copy, { recursive: true });
  }
});
