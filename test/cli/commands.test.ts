// `fluxion run` and `fluxion bench`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../data/files';

const at = temporaryFolder();
const CLI = path.join(__dirname, '../../dist/cli.js');

function fluxion(args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('run', () => {
  test('tells each process its place and its share of the cores; arguments go to the script', () => {
    writeFileSync(
      at('place.cjs'),
      `const { RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, FLUXION_NUM_THREADS } = process.env;
       console.log(JSON.stringify({ rank: RANK, local: LOCAL_RANK, sizes: [WORLD_SIZE, LOCAL_WORLD_SIZE],
         at: [MASTER_ADDR, Number(MASTER_PORT) > 0], threads: FLUXION_NUM_THREADS, args: process.argv.slice(2) }));`,
    );
    const env = { FLUXION_NUM_THREADS: '7' };
    const { status, stdout, stderr } = fluxion(
      ['run', '--nproc', '3', at('place.cjs'), '--nproc', 'x'],
      env,
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { rank: string });
    expect(lines.sort((a, b) => a.rank.localeCompare(b.rank))).toEqual(
      ['0', '1', '2'].map((rank) => ({
        ...{ rank, local: rank, sizes: ['3', '3'], at: ['127.0.0.1', true], threads: '7' },
        args: ['--nproc', 'x'],
      })),
    );
  });

  test('when one fails the others are ended and its code is the code', () => {
    writeFileSync(
      at('fails.cjs'),
      `if (process.env.RANK === '1') process.exit(3);
       setTimeout(() => console.log('was not ended'), 30000);`,
    );
    expect(fluxion(['run', '--nproc', '3', at('fails.cjs')])).toEqual({
      status: 3,
      stdout: '',
      stderr: '',
    });
  });

  test('a signal reaches every process', async () => {
    writeFileSync(
      at('waits.cjs'),
      `process.on('SIGTERM', () => { console.log('ended'); process.exit(0); });
       setTimeout(() => {}, 30000); console.log('ready');`,
    );
    const child = spawn(process.execPath, [CLI, 'run', '--nproc', '2', at('waits.cjs')]);
    let stdout = '';
    child.stdout.on('data', (text: Buffer) => {
      stdout += text.toString();
      if (stdout.match(/ready/g)?.length === 2 && !stdout.includes('ended')) child.kill('SIGTERM');
    });
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(0);
    expect(stdout.trim().split('\n').sort()).toEqual(['ended', 'ended', 'ready', 'ready']);
  });

  test.each(['0', 'two', '1.5'])('--nproc %s is refused', (count) => {
    const { status, stderr } = fluxion(['run', '--nproc', count, at('place.cjs')]);
    expect(status).toBe(1);
    expect(stderr).toContain(`--nproc must be an integer in [1, 1024], got '${count}'`);
  });
});

describe('bench', () => {
  test('prints the machine, then a line for each operation', () => {
    const { status, stdout, stderr } = fluxion(['bench', 'implicit']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toEqual([
      expect.stringMatching(/^fluxion \d+\.\d+\.\d+, \w+, \d+ threads, float32$/),
      expect.stringMatching(
        /^implicitDiffusion2d +\[16, 16, 128, 128\] +\d+\.\d{3} ms +\d+\.\d GB\/s$/,
      ),
    ]);
  });

  test('an unknown operation is refused', () => {
    const { status, stderr } = fluxion(['bench', 'nothing']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/filter must be part of one of matmul, .*got 'nothing'/);
  });
});
