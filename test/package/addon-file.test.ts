// The binary of the addon: what it imports and exports, and what a user is told where none fits.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(__dirname, '../..');
const onLinux = process.platform === 'linux';

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'fluxion-addon-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** The error of `require('fluxion')` in a process of its own, as "code message". */
function requireError(env: NodeJS.ProcessEnv, flags: string[] = []): string {
  const program = `try { require(${JSON.stringify(path.join(root, 'dist/index.js'))}); console.log('loaded'); }
    catch (error) { console.log(error.code, error.message); }`;
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', program], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  return stdout.trim();
}

/** An environment in which node-gyp-build finds the binaries of `folder` alone. */
const only = (more: NodeJS.ProcessEnv = {}) => ({
  FLUXION_PREBUILD: folder,
  PREBUILDS_ONLY: '1',
  ...more,
});

test('no binary for the platform: its name and the remedy', () => {
  const platform = `${process.platform}-${process.arch}`;
  expect(requireError(only())).toMatch(
    new RegExp(
      `^FLUXION_BACKEND_FAILURE fluxion: there is no binary for ${platform}${onLinux ? ' with (glibc [\\d.]+|musl)' : ''}; ` +
        '.*`npx fluxion build`, which needs CMake and a C\\+\\+20 compiler$',
    ),
  );
});

test('a binary that the system cannot load: its reason and the remedy', () => {
  const at = path.join(folder, 'prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(at, { recursive: true });
  writeFileSync(path.join(at, 'fluxion.node'), 'no binary');
  expect(requireError(only())).toMatch(
    /^FLUXION_BACKEND_FAILURE fluxion: the binary cannot be loaded on \S+ .*\(.*fluxion\.node.*\); build it from source with `npx fluxion build`/,
  );
});

test('addons are disabled: the flag', () => {
  expect(requireError({}, ['--no-addons'])).toMatch(
    /^FLUXION_BACKEND_FAILURE fluxion: native addons are disabled; start Node\.js with --allow-addons/,
  );
});

test('`fluxion build` and `fluxion --help` need no binary', () => {
  const fluxion = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(root, 'dist/cli.js'), ...args], {
      env: { ...only(), PATH: folder },
      encoding: 'utf8',
    });
  const help = fluxion('--help');
  expect({ status: help.status, stderr: help.stderr }).toEqual({ status: 0, stderr: '' });
  const build = fluxion('build');
  expect({ status: build.status, stdout: build.stdout }).toEqual({ status: 1, stdout: '' });
  expect(build.stderr).toMatch(
    /^FLUXION_BACKEND_FAILURE: build: cannot run cmake .*; install CMake 3\.19 or newer and a C\+\+20 compiler\n$/,
  );
  expect(fluxion('build', '--jobs', 'all').stderr).toContain(
    '--jobs must be a positive integer, got all',
  );
});

test('memory of the addon never becomes an ArrayBuffer: Electron refuses those', () => {
  const addon = readFileSync(path.join(root, 'build/Release/fluxion.node'), 'latin1');
  expect(addon).toContain('napi_create_arraybuffer'); // names of imported symbols stand in the file
  expect(addon).not.toMatch(/napi_create_external_(array)?buffer|node_api_create_external_string/);
});

(onLinux ? describe : describe.skip)('scripts/check-binary.mjs', () => {
  const check = (file: string) =>
    spawnSync(process.execPath, [path.join(root, 'scripts/check-binary.mjs'), file], {
      encoding: 'utf8',
    });

  test('the addon of this build keeps to its exports and libraries', () => {
    // The floors of glibc are those of the machine that builds a release; here only the rest is asked for.
    const { stdout, stderr } = check(path.join(root, 'build/Release/fluxion.node'));
    expect(stdout).toMatch(/fluxion\.node: lib/);
    expect(stderr).not.toMatch(/exports|needs lib/);
  });

  test('what asks for too much is refused, with the reasons', () => {
    const demands = {
      libraries: ['libc.so.6', 'libgomp.so.1'],
      versions: { GLIBC: '2.38', GLIBCXX: '3.4.9', OTHER: '1' },
      exported: ['napi_register_module_v1', 'leak'],
    };
    const program = `import { complaints } from ${JSON.stringify(path.join(root, 'scripts/check-binary.mjs'))};
      console.log(JSON.stringify(complaints(${JSON.stringify(demands)})));`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(JSON.parse(stdout)).toEqual([
      'needs libgomp.so.1',
      'needs GLIBC_2.38, above 2.34',
      'needs OTHER_1, above none',
      'exports leak',
      'does not export node_api_module_get_api_version_v1',
    ]);
  });
});

test('the CUDA plug-in is the library of its package', () => {
  const name = `fluxion-cuda-${process.platform}-${process.arch}`;
  const at = path.join(folder, 'node_modules', name);
  mkdirSync(at, { recursive: true });
  for (const file of ['index.cjs', 'package.json'])
    cpSync(path.join(root, 'cuda', file), path.join(at, file));
  const program = `console.log(require(${JSON.stringify(path.join(root, 'dist/index.js'))}).devices()[1].reason)`;
  const env = { ...process.env };
  delete env.FLUXION_CUDA_PLUGIN;
  const { stdout } = spawnSync(process.execPath, ['-e', program], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
  expect(stdout).toContain(path.join(name, 'libfluxion_cuda.so'));
});
