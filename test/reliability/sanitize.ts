// npm run reliability:sanitize -- --sanitizers=address,thread,valgrind --tests='test/ops/errors test/autograd'
//
// The addon under sanitizers, driven by jest: built with -fsanitize (kernels of the baseline instruction set), the
// runtime preloaded into Node.js. Node.js itself is not instrumented: accesses and races inside the addon are what
// is checked. Leaks are V8's at exit, so they are looked for without JavaScript: by valgrind over a native test.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type Outcome, ROOT, argumentsOf, runRecorded } from './record';

const TESTS = [
  ...['test/ops/errors', 'test/ops/creation', 'test/ops/complex', 'test/ops/normalization'],
  ...['test/autograd', 'test/optim', 'test/data/npy', 'test/data/safetensors', 'test/data/idx'],
  'test/reliability/typed-arrays',
];

const settings = argumentsOf({
  sanitizers: 'address,thread,valgrind',
  tests: TESTS.join(' '),
});

interface Result {
  figures: Record<string, number | string>;
  failures: string[];
}

function run(command: string, args: readonly string[], env: Record<string, string> = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
  });
  const ended = error ? String(error) : (signal ?? `status ${status}`);
  return { status, ended, output: `${stdout}${stderr}` };
}

function built(folder: string, options: readonly string[], target: string): void {
  const configure = ['-S', ROOT, '-B', folder, ...options];
  for (const args of [configure, ['--build', folder, '--parallel', '2', '--target', target]]) {
    const { status, output } = run('cmake', args);
    if (status !== 0) throw new Error(`cmake ${args.join(' ')} failed:\n${output.slice(-2000)}`);
  }
}

const runtime = (library: string) =>
  execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();

/** The addon with sanitizers, in a folder that FLUXION_PREBUILD can name. */
function sanitizedAddon(sanitize: string): string {
  const folder = path.join(ROOT, 'build', `sanitize-addon-${sanitize.replaceAll(',', '-')}`);
  built(
    folder,
    [
      '-DFLUXION_SANITIZE_ADDON=ON',
      `-DFLUXION_SANITIZE=${sanitize}`,
      '-DFLUXION_BASELINE_ONLY=ON',
      '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
      `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${path.join(folder, 'build/Release')}`,
    ],
    'fluxion',
  );
  return folder;
}

/** Jest with a sanitized addon: tests that passed, and what the sanitizer reported. */
function jestUnder(name: string, sanitize: string, libraries: readonly string[]): Result {
  const folder = sanitizedAddon(sanitize);
  const reports = path.join(folder, 'report');
  for (const file of readdirSync(folder))
    if (file.startsWith('report.')) rmSync(path.join(folder, file));
  const jest = path.join(ROOT, 'node_modules/jest/bin/jest.js');
  const json = path.join(folder, 'jest.json');
  rmSync(json, { force: true });
  const node = [
    jest,
    '--runInBand',
    '--json',
    `--outputFile=${json}`,
    ...settings.tests.split(' '),
  ];
  // Else jest would build it, with the runtime of the sanitizer in the compiler.
  const compiled = run('npm', ['run', 'build:ts']);
  if (compiled.status !== 0) throw new Error(`npm run build:ts failed: ${compiled.output}`);
  // ThreadSanitizer's fixed shadow memory collides with the address randomisation of recent kernels.
  const command = ['setarch', '-R', process.execPath, ...node];
  const { status, ended, output } = run(command[0]!, command.slice(1), {
    FLUXION_PREBUILD: folder,
    LD_PRELOAD: libraries.map(runtime).join(':'),
    ASAN_OPTIONS: `detect_leaks=0:log_path=${reports}`,
    UBSAN_OPTIONS: `print_stacktrace=1:log_path=${reports}`,
    TSAN_OPTIONS: `ignore_noninstrumented_modules=1:exitcode=0:log_path=${reports}`,
  });
  const found = readdirSync(folder).filter((file) => file.startsWith('report.'));
  const failures = found.map(
    (file) => `${name}: ${readFileSync(path.join(folder, file), 'utf8').slice(0, 1500)}`,
  );
  if (!existsSync(json)) {
    return {
      figures: {},
      failures: [...failures, `${name}: jest ended with ${ended}: ${output.slice(-1500)}`],
    };
  }
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
    readFileSync(json, 'utf8'),
  ) as Record<string, number>;
  if (status !== 0 || numPassedTests === 0 || numFailedTests! + numRuntimeErrorTestSuites! > 0)
    failures.push(`${name}: ${ended}, ${numFailedTests} tests failed: ${output.slice(-1500)}`);
  return {
    figures: {
      [`jest tests passed, ${name}`]: numPassedTests!,
      [`reports, ${name}`]: found.length,
    },
    failures,
  };
}

/** Valgrind over the native test of queue, memory and threads: no error, nothing lost. */
function valgrind(): Result {
  const folder = path.join(ROOT, 'build/valgrind');
  built(
    folder,
    [
      '-DFLUXION_TESTS=ON',
      '-DFLUXION_BASELINE_ONLY=ON', // valgrind knows no AVX-512
      '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
    ],
    'test_engine_test',
  );
  const { status, output } = run('valgrind', [
    ...['--error-exitcode=99', '--leak-check=full', '--show-leak-kinds=definite,possible'],
    ...['--errors-for-leak-kinds=definite,possible', path.join(folder, 'test_engine_test')],
  ]);
  const checks = Number(/(\d+) passed, 0 failed/.exec(output)?.[1] ?? 0);
  const lost = /definitely lost: ([\d,]+) bytes/.exec(output)?.[1] ?? '0';
  return {
    figures: {
      'checks of the native engine test, valgrind': checks,
      'bytes lost, valgrind': Number(lost.replaceAll(',', '')),
    },
    failures: status === 0 && checks > 0 ? [] : [`valgrind: ${output.slice(-2000)}`],
  };
}

const RUNS: Record<string, () => Result> = {
  address: () =>
    jestUnder('address and undefined behaviour', 'address,undefined', [
      'libasan.so',
      'libubsan.so',
    ]),
  thread: () => jestUnder('threads', 'thread', ['libtsan.so']),
  valgrind,
};

function main(): Outcome {
  const results = settings.sanitizers.split(',').map((name) => {
    const result = RUNS[name]!();
    console.error(name, JSON.stringify(result, null, 1));
    return result;
  });
  const failures = results.flatMap((result) => result.failures);
  return {
    figures: Object.assign({}, ...results.map((result) => result.figures)) as Outcome['figures'],
    failures: failures.length,
    details: failures,
  };
}

void runRecorded('sanitize', main);
