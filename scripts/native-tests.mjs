// Configures, builds and runs the native tests. Without options they share the objects of the addon's build.
//   node scripts/native-tests.mjs [--sanitize=address,undefined | --sanitize=thread] [--baseline]
// --baseline compiles the kernels for the plainest instruction set alone, which takes the sanitizers' builds from a
// quarter of an hour to a few minutes.
// Each other variant has its own build folder; ctest's report is written to <folder>/ctest.xml.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: {
    sanitize: { type: 'string', default: '' },
    baseline: { type: 'boolean', default: false },
  },
});

const own = values.sanitize !== '' || values.baseline;
const variant = values.sanitize
  ? `sanitize-${values.sanitize.replaceAll(',', '-')}`
  : 'native-tests';
const folder = own
  ? path.join(root, 'build', values.baseline ? `${variant}-baseline` : variant)
  : path.join(root, 'build');

function run(command, args) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      TSAN_OPTIONS: 'halt_on_error=1',
    },
  });
  if (error) console.error(error.message);
  if (status !== 0) process.exit(status ?? 1);
}

if (!own) run('npm', ['run', '--silent', 'build:native']);
run('cmake', [
  ...['-S', root, '-B', folder, '-DFLUXION_TESTS=ON'],
  ...(own
    ? [
        '-DFLUXION_WERROR=ON',
        `-DFLUXION_SANITIZE=${values.sanitize}`,
        `-DFLUXION_BASELINE_ONLY=${values.baseline ? 'ON' : 'OFF'}`,
        `-DCMAKE_BUILD_TYPE=${values.sanitize ? 'RelWithDebInfo' : 'Release'}`,
      ]
    : []),
]);
run('cmake', ['--build', folder, '--target', 'native_tests', '--parallel', '2']);

const ctest = ['ctest', '--test-dir', folder, '--output-on-failure', '--no-tests=ignore'];
const report = ['--output-junit', path.join(folder, 'ctest.xml')];
// ThreadSanitizer's fixed shadow memory collides with the address randomisation of recent kernels.
const prefix =
  values.sanitize === 'thread' && process.platform === 'linux' ? ['setarch', '-R'] : [];
const [command, ...args] = [...prefix, ...ctest, ...report];
run(command, args);
