// Everything that continuous integration checks. Every step runs even when an earlier one failed;
// the last line counts the tests of jest and ctest together.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const jestReport = path.join(root, 'build/jest.json');
const cudaReport = path.join(root, 'build/cuda-host.json');
const ctestReport = path.join(root, 'build/ctest.xml');

const STEPS = [
  ['build', ['run', 'build']],
  ['format', ['run', 'format:check']],
  ['lint', ['run', 'lint']],
  ['types', ['run', 'typecheck']],
  ['layers', ['run', 'check:layers']],
  ['changelog', ['run', 'check:changelog']],
  ['workflows', ['run', 'check:workflows']],
  ['package', ['run', 'check:package']],
  ['native tests', ['run', 'test:native']],
  ['CUDA plug-in', ['run', 'check:cuda']],
  ['CUDA kernels on the host', ['run', 'test:cuda-host', '--', '--json', cudaReport]],
  ['tests', ['test', '--', '--json', `--outputFile=${jestReport}`]],
];

function countJest(file) {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  return [report.numPassedTests, report.numFailedTests + report.numRuntimeErrorTestSuites];
}

function countCtest() {
  const suite = /<testsuite\b[^>]*>/.exec(readFileSync(ctestReport, 'utf8'))[0];
  const attribute = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const failed = attribute('failures');
  return [attribute('tests') - failed - attribute('skipped') - attribute('disabled'), failed];
}

// A runner that left no report did not run its tests: that is one failure, never zero tests.
function countOrFailure(count) {
  try {
    return count();
  } catch {
    return [0, 1];
  }
}

for (const report of [jestReport, cudaReport, ctestReport]) rmSync(report, { force: true });

const failedSteps = [];
for (const [name, args] of STEPS) {
  const start = performance.now();
  console.log(`\n--- ${name}`);
  const { status } = spawnSync('npm', args, { cwd: root, stdio: 'inherit' });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`--- ${name}: ${status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`);
  if (status !== 0) failedSteps.push(name);
}

const counts = [() => countJest(jestReport), () => countJest(cudaReport), countCtest].map(
  countOrFailure,
);
const passed = counts.reduce((sum, [count]) => sum + count, 0);
const failed = counts.reduce((sum, [, count]) => sum + count, 0);
if (failedSteps.length > 0) console.log(`\nFailed: ${failedSteps.join(', ')}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failedSteps.length > 0 || failed > 0 ? 1 : 0);
