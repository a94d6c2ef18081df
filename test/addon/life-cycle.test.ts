// The addon in processes and environments that come and go.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

function run(program: string, args: string[] = [], nodeOptions: string[] = []): string {
  const file = path.join(__dirname, 'programs', program);
  const result = spawnSync(process.execPath, [...nodeOptions, file, ...args], {
    encoding: 'utf8',
    timeout: 55_000,
  });
  expect({ status: result.status, signal: result.signal, errors: result.stderr }).toEqual({
    status: 0,
    signal: null, // it ended by itself, in time
    errors: '',
  });
  return result.stdout;
}

describe.each(['main', 'worker'])('training in the %s thread', (thread) => {
  test('keeps live bytes constant over 2,000 steps', () => {
    const result = JSON.parse(run('train-steps.cjs', [thread])) as {
      bytes: number[];
      left: number;
    };
    expect(new Set(result.bytes).size).toBe(1);
    expect(result.left).toBe(0);
  });
});

test('a synchronous loop that releases nothing stays bounded', () => {
  const { highest } = JSON.parse(run('forgetful-loop.cjs')) as { highest: number };
  expect(highest).toBeLessThan(1.5e9); // 24 GB without the sweep; when V8 collects decides the rest
});

test('collected tensors are released when the event loop turns', () => {
  const result = JSON.parse(run('finalizers.cjs', [], ['--expose-gc'])) as Record<string, number>;
  expect(result.before).toBeGreaterThan(900);
  expect(result.after).toBe(1);
  expect(result.sum).toBe(6);
});

test.each(['load', 'tensor', 'queued', 'reading', 'awaited', 'tidy', 'throwing'])(
  'the process may exit after: %s',
  (step) => {
    run('teardown.cjs', [step]);
  },
);

test.each([
  ['FLUXION_ISA', 'mmx', 'must be one of those of this machine'],
  ['FLUXION_NUM_THREADS', '0', 'must be a number in [1, 256]'],
])('a setting that cannot be had is an error: %s=%s', (name, value, requirement) => {
  const file = path.join(__dirname, 'programs/forgetful-loop.cjs');
  const env = { ...process.env, [name]: value };
  const { status, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', env });
  expect(status).toBe(1);
  expect(stderr).toContain(`the native addon cannot be loaded: ${name} ${requirement}`);
});

test('a worker may be terminated after each step', () => {
  expect(run('teardown.cjs', ['workers'])).toBe('alive');
});

test('workers share no state', () => {
  const [first, second, third] = JSON.parse(run('several-workers.cjs')) as {
    total: number;
    tensors: number;
  }[];
  expect(first).toEqual(second); // the same seed
  expect(third!.total).not.toBe(first!.total);
  expect(first!.tensors).toBe(0);
});
