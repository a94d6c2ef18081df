// The package as a stranger gets it: packed with its prebuild, installed without scripts into an empty folder by an npm
// that finds no compiler, and run. `npm run test:package`; needs `npm run make:prebuild`, and the registry for the five
// dependencies and for other versions of Node.js. What cannot be had is skipped with the reason.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, '../..');
const ARM64_SYSROOT = '/usr/aarch64-linux-gnu';

const folder = mkdtempSync(path.join(tmpdir(), 'fluxion-install-'));
const bin = path.join(folder, 'bin');
const app = path.join(folder, 'app');
/** Nothing of npm's or of the user's: above all no PATH to a compiler. */
const env = { PATH: bin, HOME: folder, npm_config_cache: path.join(folder, 'cache') };

function which(name) {
  const folders = process.env.PATH.split(path.delimiter);
  return folders.map((at) => path.join(at, name)).find((file) => existsSync(file));
}

const prebuild = `prebuilds/${process.platform}-${process.arch}`;
const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();

function npm(cwd, args, options = {}) {
  return spawnSync('npm', [...args, '--registry', registry, '--no-audit', '--no-fund'], {
    cwd,
    env,
    encoding: 'utf8',
    ...options,
  });
}

/** Runs a program of the app; what it prints is JSON. */
function run(command, args, extra = {}, cwd = app) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env: { ...env, ...extra },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

function pack(from) {
  const out = execFileSync(
    'npm',
    ['pack', from, '--ignore-scripts', '--silent', '--pack-destination', folder],
    { cwd: root, encoding: 'utf8' },
  );
  return path.join(folder, out.trim().split('\n').at(-1));
}

/** A folder that npm takes for a project: it would go up to one with a package.json. */
function newProject(name) {
  const at = path.join(folder, name);
  mkdirSync(at);
  writeFileSync(path.join(at, 'package.json'), '{}');
  return at;
}

/** Milliseconds that npm takes to install the packed library into an empty folder. */
function install(at, tarball, ...options) {
  const start = performance.now();
  const { status, stderr } = npm(at, ['install', '--ignore-scripts', ...options, tarball]);
  assert.equal(status, 0, stderr);
  return performance.now() - start;
}

const descends = (losses) => losses.every(Number.isFinite) && losses.at(-1) < losses[0];

before(() => {
  assert.ok(existsSync(path.join(root, prebuild)), `no ${prebuild}: run npm run make:prebuild`);
  mkdirSync(bin);
  newProject('app');
  for (const tool of ['node', 'npm', 'npx', 'sh', 'env']) {
    symlinkSync(
      realpathSync(tool === 'node' ? process.execPath : which(tool)),
      path.join(bin, tool),
    );
  }
  const tarball = pack(root);
  const withDownloads = install(app, tarball);
  const again = newProject('again');
  const start = performance.now();
  install(again, tarball, '--offline');
  cpSync(path.join(here, 'programs'), again, { recursive: true });
  run('node', ['train.cjs'], {}, again);
  const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
  console.log(
    `installed in ${seconds(withDownloads)} with downloads; installed and trained in ` +
      `${seconds(performance.now() - start)} after them`,
  );
  cpSync(path.join(here, 'programs'), app, { recursive: true });
});

after(() => rmSync(folder, { recursive: true, force: true }));

test('no compiler is in reach', () => {
  for (const tool of ['cc', 'c++', 'g++', 'clang', 'cmake', 'make', 'python3', 'node-gyp']) {
    assert.equal(spawnSync(tool, ['--version'], { env }).error?.code, 'ENOENT', tool);
  }
});

test('a training step', () => assert.ok(descends(run('node', ['train.cjs']).losses)));

test('import and require give the same objects', () => {
  const { count, ...rest } = run('node', ['faces.mjs']);
  assert.ok(count > 100);
  assert.deepEqual(rest, { other: [], extra: [], sum: 3 });
});

test('a worker thread', () => assert.deepEqual(run('node', ['worker.cjs']), { sum: 6, code: 0 }));

test('npx fluxion info', () => {
  const { status, stdout, stderr } = spawnSync('npx', ['fluxion', 'info'], {
    cwd: app,
    env,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^device cpu/m);
});

test('npx fluxion build says what it needs', () => {
  const { status, stderr } = spawnSync('npx', ['fluxion', 'build'], {
    cwd: app,
    env,
    encoding: 'utf8',
  });
  assert.equal(status, 1, stderr);
  assert.match(stderr, /install CMake 3\.19 or newer and a C\+\+20 compiler/);
});

test(
  'npx fluxion build compiles the sources of the tarball',
  { skip: !process.env.FLUXION_TEST_BUILD && 'minutes of compiling: set FLUXION_TEST_BUILD=1' },
  () => {
    const { status, stderr } = spawnSync('npx', ['fluxion', 'build'], {
      cwd: app,
      env: { ...process.env },
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.ok(existsSync(path.join(app, 'node_modules/fluxion/build/Release/fluxion.node')));
    assert.ok(descends(run('node', ['train.cjs']).losses));
  },
);

/** A binary of Node.js from its npm package, or the reason why there is none. */
function fetchNode(platform, arch, version) {
  const at = newProject(`node-${arch}-${version}`);
  const name = `node-${platform}-${arch}`;
  const { status, stderr } = npm(at, [
    'install',
    '--ignore-scripts',
    '--force',
    `${name}@${version}`,
  ]);
  if (status !== 0) return { reason: `${name}@${version}: ${stderr.trim().split('\n').at(-1)}` };
  return { node: path.join(at, 'node_modules', name, 'bin/node') };
}

for (const version of ['20', '22', '24']) {
  test(`the same binary under Node.js ${version}`, (t) => {
    if (process.platform !== 'linux') return t.skip('no package of Node.js for this platform');
    const { node, reason } = fetchNode(process.platform, process.arch, version);
    if (!node) return t.skip(reason);
    const { losses, node: found } = run(node, ['train.cjs']);
    assert.ok(found.startsWith(`v${version}.`));
    assert.deepEqual(losses, run('node', ['train.cjs']).losses);
    assert.deepEqual(run(node, ['worker.cjs']), { sum: 6, code: 0 });
  });
}

test('linux-arm64 trains to the same losses, under qemu', (t) => {
  const qemu = which('qemu-aarch64');
  if (!qemu) return t.skip('qemu-aarch64 is not installed');
  if (!existsSync(ARM64_SYSROOT)) return t.skip(`there is no ${ARM64_SYSROOT}`);
  if (!existsSync(path.join(root, 'prebuilds/linux-arm64'))) {
    return t.skip('no prebuild: run npm run make:prebuild -- --arch arm64');
  }
  const { node, reason } = fetchNode('linux', 'arm64', '20');
  if (!node) return t.skip(reason);
  execFileSync('npm', ['run', '--silent', 'pack:platform', '--', 'linux-arm64'], {
    cwd: root,
    stdio: 'ignore',
  });
  cpSync(
    path.join(root, 'build/packages/fluxion-linux-arm64'),
    path.join(app, 'node_modules/fluxion-linux-arm64'),
    { recursive: true },
  );
  const arm = run(qemu, ['-L', ARM64_SYSROOT, node, 'train.cjs']);
  assert.equal(arm.arch, 'arm64');
  const host = run('node', ['train.cjs'], { FLUXION_ISA: 'baseline' });
  arm.losses.forEach((loss, i) => assert.ok(Math.abs(loss - host.losses[i]) < 1e-4, `step ${i}`));
});
