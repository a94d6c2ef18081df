import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { type LogLine, accuracy, fit, jsonLog } from '../../lib/train';
import { DataLoader } from '../../lib/data';
import { temporaryFolder } from '../data/files';
import { halves, makeRun } from './small-run';

const at = temporaryFolder();

const read = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine);

async function train(name: string, stopAfter = Infinity): Promise<number[]> {
  const { model, loader, options } = makeRun({ epochs: 2 });
  const controller = new AbortController();
  const history = await fit(model, loader, {
    ...options,
    metrics: { accuracy },
    validation: new DataLoader(halves(32, 7), { batchSize: 32 }),
    signal: controller.signal,
    checkpoint: { path: at(`${name}-checkpoint`), every: { steps: 4 } },
    callbacks: [
      jsonLog(at(`${name}.jsonl`), { everySteps: 3 }),
      { onStep: ({ step }) => step >= stopAfter && controller.abort() },
    ],
  });
  return history.losses;
}

/** The lines without what differs from run to run. */
const content = (file: string) =>
  read(file).map(({ seconds: _seconds, memory: _memory, ...rest }) => rest);

test('a line for each epoch and every few steps', async () => {
  const losses = await train('whole');
  const lines = read(at('whole.jsonl'));
  expect(lines.map(({ kind, step, epoch }) => `${kind} ${step} ${epoch}`)).toEqual([
    ...['step 3 1', 'step 6 1', 'step 9 1', 'epoch 10 1'],
    ...['step 12 2', 'step 15 2', 'step 18 2', 'epoch 20 2'],
  ]);
  for (const line of lines.filter(({ kind }) => kind === 'step'))
    expect(line.loss).toBe(losses[line.step - 1]);
  const last = lines.at(-1)!;
  expect(last.validation!.accuracy).toBeGreaterThan(0.5);
  expect(last.metrics.accuracy).toBeGreaterThan(0.5);
  expect(last.learningRate).toBeGreaterThan(0);
  expect(last.memory.bytes).toBeGreaterThan(0);
  expect(last.memory.peakBytes).toBeGreaterThanOrEqual(last.memory.bytes);
  expect(last.memory.processBytes).toBeGreaterThan(1e6);
  const seconds = lines.map((line) => line.seconds);
  expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
});

test('a run that was killed and resumed has each line once', async () => {
  await train('killed', 14);
  // As a kill leaves it: lines after the last checkpoint, and a torn one.
  const file = at('killed.jsonl');
  const line = {
    kind: 'step',
    step: 18,
    epoch: 2,
    loss: 1,
    metrics: {},
    learningRate: 1,
    seconds: 1,
  };
  appendFileSync(
    file,
    `${JSON.stringify(line)}\n${JSON.stringify({ ...line, step: 21 })}\n{"kind":"st`,
  );
  await train('killed');
  await train('same');
  expect(content(file)).toEqual(content(at('same.jsonl')));
});

test('a run from the beginning begins the file anew', async () => {
  const line = { kind: 'step', step: 7, epoch: 1, seconds: 0 };
  writeFileSync(at('old.jsonl'), `${JSON.stringify(line)}\n`);
  await train('old', 3);
  expect(read(at('old.jsonl'))[0]!.step).toBe(3);
});

test('a file of something else is refused and stays', async () => {
  writeFileSync(at('other.jsonl'), 'notes\n');
  await expect(train('other')).rejects.toThrow('file must hold lines of a log');
  expect(readFileSync(at('other.jsonl'), 'utf8')).toBe('notes\n');
  expect(() => jsonLog('x', { everySteps: -1 })).toThrow('everySteps must be an integer >= 0');
});
