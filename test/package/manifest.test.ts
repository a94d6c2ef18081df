// What is published, by the manifest and by npm's own list of files.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '../..');

interface Manifest {
  version: string;
  gypfile: boolean;
  files: string[];
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional?: boolean }>;
}

const read = (file: string) => JSON.parse(readFileSync(path.join(root, file), 'utf8')) as Manifest;
const manifest = read('package.json');

test('at most five dependencies; the peers are optional', () => {
  expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(5);
  for (const name of Object.keys(manifest.peerDependencies)) {
    expect([name, manifest.peerDependenciesMeta[name]]).toEqual([name, { optional: true }]);
  }
});

test('nothing runs when a user installs it', () => {
  const { gypfile, scripts } = manifest;
  expect(gypfile).toBe(false);
  for (const name of ['preinstall', 'install', 'postinstall'])
    expect(scripts).not.toHaveProperty(name);
});

test('the packages of the platforms have the version of the package', () => {
  const cuda = read('cuda/package.json');
  expect([cuda.version, cuda.peerDependencies.fluxion]).toEqual([
    manifest.version,
    manifest.version,
  ]);
  for (const [name, version] of Object.entries(manifest.peerDependencies)) {
    if (name.startsWith('fluxion-')) expect([name, version]).toEqual([name, manifest.version]);
  }
});

test('the tarball holds what users need and nothing else', () => {
  const answer = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as { files: { path: string }[] }[] | Record<string, { files: { path: string }[] }>;
  const files = Object.values(answer)[0]!.files.map((file) => file.path);
  const { variables } = JSON.parse(
    readFileSync(path.join(root, 'native/sources.gypi'), 'utf8'),
  ) as {
    variables: { fluxion_sources: string[] };
  };
  expect(files).toEqual(
    expect.arrayContaining([
      ...['dist/index.js', 'dist/index.mjs', 'dist/index.d.ts', 'dist/index.d.mts', 'dist/cli.js'],
      ...['dist/loader-worker.js', 'dist/headers/napi.h', 'dist/headers/node_api.h'],
      ...['CMakeLists.txt', 'native/exports.map', 'native/sources.gypi', 'LICENSE', 'README.md'],
      ...variables.fluxion_sources,
    ]),
  );
  const folders = new Set(files.map((file) => (file.includes('/') ? file.split('/')[0]! : '')));
  folders.delete('prebuilds'); // where somebody has made one
  expect([...folders].sort()).toEqual(['', 'dist', 'native']);
  expect(
    files.filter((file) => /\.(so|o|map|tgz)$/.test(file) && file !== 'native/exports.map'),
  ).toEqual([]);
});

test('the bundle keeps the names of classes: errors and summaries show them', () => {
  const program = `const fluxion = require(${JSON.stringify(path.join(root, 'dist/index.js'))});
    const isClass = (value) => typeof value === 'function' && /^class\\b/.test(String(value));
    const found = [fluxion, fluxion.nn, fluxion.optim, fluxion.models, fluxion.data, fluxion.train]
      .flatMap((part) => Object.entries(part).filter(([, value]) => isClass(value)));
    const renamed = found.filter(([name, value]) => value.name !== name).map(([name]) => name);
    console.log(JSON.stringify({ many: found.length > 60, renamed }));`;
  const stdout = execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  expect(JSON.parse(stdout)).toEqual({ many: true, renamed: [] });
});
