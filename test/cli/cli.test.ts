import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { tensor } from '../../lib/ops';
import { Random, saveImage } from '../../lib/data';
import { idx, temporaryFolder } from '../data/files';

const at = temporaryFolder();
const MAIN = path.join(__dirname, '../../dist/cli.js');

/** Runs the program; `watch` may act on what it prints. */
async function fluxion(args: string[], watch?: (stderr: string, interrupt: () => void) => void) {
  const child = spawn(process.execPath, [MAIN, ...args]);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => {
    stderr += text.toString();
    watch?.(stderr, () => child.kill('SIGINT'));
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

const SIDE = 8;

/** Images whose upper (class 0) or lower half (class 1) is bright. */
function image(label: number, random: Random): Uint8Array {
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    const bright = i < (SIDE * SIDE) / 2 === (label === 0);
    return (bright ? 150 : 0) + random.below(100);
  });
}

function writeData(name: string, count: number): void {
  const random = new Random(count);
  const labels = Uint8Array.from({ length: count }, () => random.below(2));
  const images = Buffer.concat([...labels].map((label) => image(label, random)));
  writeFileSync(at(`${name}-images`), idx(0x08, [count, SIDE, SIDE], images));
  writeFileSync(at(`${name}-labels`), idx(0x08, [count], labels));
}

const CONFIG = {
  model: { name: 'RDNN', options: { channels: [4], layersPerBlock: 1, classes: 2 } },
  data: {
    images: 'train-images',
    labels: 'train-labels',
    testImages: 'test-images',
    testLabels: 'test-labels',
  },
  epochs: 3,
  batchSize: 16,
  learningRate: 0.02,
  output: 'run',
};

function writeConfig(name: string, config: object = CONFIG): string {
  writeFileSync(at(name), JSON.stringify(config));
  return at(name);
}

beforeAll(() => {
  writeData('train', 320);
  writeData('test', 100);
});

test('info', async () => {
  const { code, stdout, stderr } = await fluxion(['info']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain(process.version);
  expect(stdout).toMatch(/^device cpu +CPU/m);
  expect(stdout).toMatch(/^instructions +\w+ \(present: baseline/m);
});

describe('train and predict', () => {
  test('trains, writes its folder, classifies', async () => {
    const { code, stdout, stderr } = await fluxion(['train', writeConfig('config.json')]);
    expect(stderr).toMatch(/^epoch 1\/3 /m);
    expect(code).toBe(0);
    expect(Number(/test accuracy (\S+) %/.exec(stdout)![1])).toBeGreaterThan(95);
    expect(readdirSync(at('run')).sort()).toEqual([
      'checkpoint',
      'config.json',
      'history.jsonl',
      'model.safetensors',
    ]);
    const lines = readFileSync(path.join(at('run'), 'history.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { epoch: number }).epoch)).toEqual([1, 2, 3]);

    const pixels = Float32Array.from(image(1, new Random(9)), (byte) => byte / 255);
    await saveImage(tensor(pixels, { shape: [SIDE, SIDE] }), at('lower.png'));
    const predicted = await fluxion(['predict', at('run'), at('lower.png'), '--top', '1']);
    expect(predicted).toMatchObject({ code: 0, stderr: '' });
    expect(predicted.stdout).toMatch(/^1\t(0\.[5-9]\d*|1\.0*)\n$/);
  });

  test('Ctrl-C ends it cleanly and the same command continues', async () => {
    const config = writeConfig('long.json', { ...CONFIG, epochs: 40, output: 'long' });
    let sent = false;
    const first = await fluxion(['train', config], (stderr, interrupt) => {
      if (sent || !stderr.includes('epoch 1/')) return;
      sent = true;
      interrupt();
    });
    expect(first.code).toBe(130);
    expect(first.stdout).toContain('continues this run');
    expect(existsSync(path.join(at('long'), 'model.safetensors'))).toBe(false);
    const second = await fluxion(['train', config]);
    expect(second.code).toBe(0);
    expect(second.stderr).not.toMatch(/^epoch 1\//m);
    expect(second.stderr).toMatch(/^epoch 40\/40 /m);
    expect(second.stdout).toContain('test accuracy');
  });
});

describe('errors are one line and exit code 1', () => {
  const expectError = async (args: string[], message: RegExp) => {
    const { code, stdout, stderr } = await fluxion(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(message);
  };

  test.each<[string, object, RegExp]>([
    ['an unknown key', { ...CONFIG, epoch: 3 }, /FLUXION_INVALID_ARGUMENT: .*no key 'epoch'/],
    [
      'an unknown key below',
      { ...CONFIG, model: { name: 'RDNN', opts: {} } },
      /no key 'model.opts'/,
    ],
    ['a wrong value', { ...CONFIG, batchSize: 0 }, /'batchSize' must be an integer > 0, got 0/],
    ['a missing key', { ...CONFIG, output: undefined }, /'output' must be the path/],
    [
      'an unknown model',
      { ...CONFIG, model: { name: 'constructor' } },
      /model.name must be one of RDNN/,
    ],
    [
      'an unknown option of the model',
      { ...CONFIG, model: { name: 'RDNN', options: { channel: [1] } } },
      /no option 'channel'/,
    ],
  ])('%s', (_, config, message) =>
    expectError(['train', writeConfig('bad.json', config)], message),
  );

  test('no JSON', async () => {
    writeFileSync(at('none.json'), '{');
    await expectError(['train', at('none.json')], /FLUXION_INVALID_ARGUMENT: .*must be JSON/);
  });

  test('a corrupt data file', async () => {
    writeFileSync(at('corrupt'), 'no IDX file');
    const data = { ...CONFIG.data, testImages: 'corrupt' };
    const config = writeConfig('corrupt.json', { ...CONFIG, data, output: 'unused' });
    await expectError(['train', config], /FLUXION_CORRUPT_FILE: .*corrupt/);
    expect(existsSync(at('unused'))).toBe(false);
  });

  test('a missing file', () =>
    expectError(['train', at('missing.json')], /^ENOENT: .*missing\.json/));

  test('with --verbose: the stack', async () => {
    const { code, stderr } = await fluxion(['--verbose', 'train', at('missing.json')]);
    expect(code).toBe(1);
    expect(stderr.split('\n').length).toBeGreaterThan(1);
  });
});

test('an output folder of another run is refused', async () => {
  await fluxion(['train', writeConfig('one.json', { ...CONFIG, epochs: 1, output: 'same' })]);
  const other = writeConfig('two.json', { ...CONFIG, epochs: 2, output: 'same' });
  const { code, stderr } = await fluxion(['train', other]);
  expect(code).toBe(1);
  expect(stderr).toContain('another configuration');
});
