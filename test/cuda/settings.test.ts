// What the environment may say about device 'cuda', in a process of its own for each value.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describeOnCuda, hostLayer } from './device';

/** What a program prints that makes a tensor on the GPU: its sum, or the code and the message of the error. */
function sumWith(name: string, value: string): string {
  const program = `
    const { tensor } = require('./lib');
    try {
      console.log(tensor([1, 2], { device: 'cuda' }).sum().item());
    } catch ({ code, message }) {
      console.log(code, message);
    }`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['-r', './test/register-typescript.cjs', '-e', program],
    {
      cwd: path.join(__dirname, '../..'),
      encoding: 'utf8',
      env: { ...process.env, [name]: value },
    },
  );
  return (stdout + stderr).trim();
}

describeOnCuda('settings of device cuda', () => {
  test.each([
    ['FLUXION_CUDA_TF32', '2', 'one of 0, 1, 3'],
    ['FLUXION_CUDA_TF32', 'yes', 'one of 0, 1, 3'],
    ['FLUXION_CUDA_TF32', '', 'one of 0, 1, 3'],
    ['FLUXION_CUDA_SYNC', 'true', 'one of 0, 1'],
    ...(hostLayer
      ? [
          ['FLUXION_CUDA_SCHEDULE', '-1', 'a number in [0, 4294967295]'],
          ['FLUXION_CUDA_MEMORY', '1G', 'a number in [1, 1048576]'],
          ['FLUXION_CUDA_SHARED', '0', 'a number in [1, 227]'],
        ]
      : []),
  ])('%s=%s is an error at the first use', (name: string, value: string, allowed: string) => {
    const message = `${name} must be ${allowed}, got '${value}'`;
    const said = sumWith(name, value);
    expect(said).toMatch(/^FLUXION_INVALID_ARGUMENT /);
    expect(said).toContain(message);
  });

  test.each([
    ['FLUXION_CUDA_TF32', '0'],
    ['FLUXION_CUDA_TF32', '3'],
    ['FLUXION_CUDA_SYNC', '1'],
  ])('%s=%s is allowed', (name, value) => expect(sumWith(name, value)).toBe('3'));
});
