import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { Random } from '../../lib/data';
import { fit, readCheckpoint, writeCheckpoint } from '../../lib/train';
import { tensor } from '../../lib/ops';
import { temporaryFolder } from '../data/files';
import { makeRun, weightsOf } from './small-run';

const at = temporaryFolder();
const root = path.join(__dirname, '..', '..');

interface ChildResult {
  hash: string;
  killed: boolean;
  /** The first step that it made. */
  firstStep: number;
}

/** Trains in a child process, killed after a time when one is given. */
async function train(folder: string, killAfter?: number): Promise<ChildResult> {
  const child = fork(path.join(__dirname, 'resume-child.ts'), [folder, '1'], {
    execArgv: ['-r', path.join(root, 'test', 'register-typescript.cjs')],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  let hash = '';
  let firstStep = 0;
  child.stdout!.on('data', (text: Buffer) => (hash += text.toString()));
  child.on('message', (step: number) => {
    if (firstStep > 0) return;
    firstStep = step;
    if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter);
  });
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { hash, killed: signal === 'SIGKILL', firstStep };
}

test('a run that is killed again and again ends with the same bits', async () => {
  const { hash: expected } = await train('');
  const random = new Random(Date.now());
  let kills = 0;
  const starts: number[] = [];
  for (;;) {
    // Later and later until a run has found a checkpoint: a busy machine makes few steps in 60 ms.
    const resumed = starts.some((step) => step > 1);
    const delay = random.below(60 * (resumed ? 1 : kills + 1));
    const { hash, killed, firstStep } = await train(
      at('killed'),
      kills < 5 || !resumed ? delay : undefined,
    );
    starts.push(firstStep);
    if (killed) {
      kills++;
      continue;
    }
    expect(hash).toBe(expected);
    break;
  }
  expect(kills).toBeGreaterThan(0);
  expect(Math.max(...starts)).toBeGreaterThan(1);
  expect(starts).toEqual([...starts].sort((a, b) => a - b));
});

describe('resume', () => {
  const interrupted = async (
    folder: string,
    steps: number,
    every: { steps: number } | { epochs: number },
  ) => {
    const { model, loader, options } = makeRun();
    const controller = new AbortController();
    await fit(model, loader, {
      ...options,
      signal: controller.signal,
      checkpoint: { path: folder, every },
      callbacks: { onStep: ({ step }) => step === steps && controller.abort() },
    });
  };

  test.each([1, 9, 15, 27])('aborted at step %i', async (steps) => {
    const whole = makeRun();
    const expected = await fit(whole.model, whole.loader, whole.options);
    const folder = at(`aborted-${steps}`);
    await interrupted(folder, steps, { epochs: 1 });
    const { model, loader, options } = makeRun();
    const history = await fit(model, loader, { ...options, checkpoint: { path: folder } });
    expect(history.losses).toEqual(expected.losses);
    expect(history.learningRates).toEqual(expected.learningRates);
    const withoutTimes = (epochs: typeof history.epochs) =>
      epochs.map((e) => ({ ...e, seconds: 0 }));
    expect(withoutTimes(history.epochs)).toEqual(withoutTimes(expected.epochs));
    expect(await weightsOf(model)).toBe(await weightsOf(whole.model));
    // Again: it is finished.
    const again = makeRun();
    const rest = await fit(again.model, again.loader, {
      ...again.options,
      checkpoint: { path: folder },
    });
    expect(rest.losses).toEqual(expected.losses);
    expect(await weightsOf(again.model)).toBe(await weightsOf(whole.model));
    expect(readdirSync(folder)).toHaveLength(2);
  });

  test('false begins anew', async () => {
    await interrupted(at('anew'), 3, { steps: 2 });
    const { model, loader, options } = makeRun();
    const checkpoint = { path: at('anew'), resume: false };
    const history = await fit(model, loader, { ...options, checkpoint });
    expect(history.losses).toHaveLength(30);
    expect(readdirSync(at('anew'))).toHaveLength(2);
  });

  test('of another model, optimizer or data set is refused with the remedy', async () => {
    await interrupted(at('other'), 3, { steps: 2 });
    const { model, options } = makeRun();
    const { loader } = makeRun({ samples: 64 });
    const run = { ...options, checkpoint: { path: at('other') } };
    await expect(fit(model, loader, run)).rejects.toThrow(
      /is of another run.*160 in batches.*resume: false/,
    );
  });
});

describe('a damaged checkpoint', () => {
  const state = { number: 1.5, infinite: -Infinity, missing: NaN, text: 'ü' };
  const make = async (name: string) => {
    const tensors = { model: { a: tensor([1, 2]) }, optimizer: {} };
    await writeCheckpoint(at(name), 7, { tensors, state });
    const folder = readdirSync(at(name)).find((entry) => entry.startsWith('step-'))!;
    return path.join(at(name), folder);
  };

  test('sound: as it was', async () => {
    await make('sound');
    const found = await readCheckpoint(at('sound'));
    expect(found!.state).toEqual(state);
    expect([...found!.tensors.model!.a!.dataSync()]).toEqual([1, 2]);
    expect(await readCheckpoint(at('nowhere'))).toBeNull();
  });

  test('leftovers of a process that died are ignored, then removed', async () => {
    await make('leftover');
    await make('leftover');
    const [folder] = readdirSync(at('leftover')).filter((entry) => entry.startsWith('step-'));
    const dead = path.join(at('leftover'), 'step-00000009-abcdef');
    await writeCheckpoint(at('elsewhere'), 9, { tensors: {}, state });
    const half = readdirSync(at('elsewhere')).find((entry) => entry.startsWith('step-'))!;
    renameSync(path.join(at('elsewhere'), half), dead);
    expect(await readCheckpoint(at('leftover'))).not.toBeNull();
    expect(existsSync(path.join(at('leftover'), folder!))).toBe(true);
    await make('leftover');
    expect(existsSync(dead)).toBe(false);
  });

  test.each<[string, (folder: string) => void]>([
    ['a changed bit', (folder) => flip(path.join(folder, 'model.safetensors'), 70)],
    ['a shorter file', (folder) => truncateSync(path.join(folder, 'model.safetensors'), 20)],
    ['a missing file', (folder) => rmSync(path.join(folder, 'model.safetensors'))],
    ['a changed state', (folder) => flip(path.join(folder, 'state.json'), 5)],
    ['a missing folder', (folder) => rmSync(folder, { recursive: true })],
    [
      'a pointer that is no JSON',
      (folder) => writeFileSync(path.join(folder, '..', 'latest.json'), '{'),
    ],
    ['an empty pointer', (folder) => writeFileSync(path.join(folder, '..', 'latest.json'), '')],
    [
      'a pointer to elsewhere',
      (folder) => writeFileSync(path.join(folder, '..', 'latest.json'), '{"folder": "../x"}'),
    ],
  ])('%s', async (name, damage) => {
    const folder = await make(name);
    damage(folder);
    const { model, loader, options } = makeRun();
    const run = fit(model, loader, { ...options, checkpoint: { path: at(name) } });
    await expect(run).rejects.toMatchObject({ code: 'FLUXION_CORRUPT_FILE' });
    await expect(run).rejects.toThrow(/remove it to begin anew/);
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at]! ^= 1;
  writeFileSync(file, bytes);
}
