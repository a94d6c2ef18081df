import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { memory } from '../../lib/tensor/tensor';
import { keep } from '../../lib/autograd/tidy';
import { crossEntropy, tensor } from '../../lib/ops';
import { DataLoader } from '../../lib/data';
import { ReduceLROnPlateau, StepLR } from '../../lib/optim';
import { type EpochRecord, type StepRecord, accuracy, evaluate, fit } from '../../lib/train';
import { halves, makeRun, weightsOf } from './small-run';

const validation = () => new DataLoader(halves(100, 7), { batchSize: 32 });

test('learns, and reports how', async () => {
  const { model, loader, options } = makeRun({ epochs: 6 });
  const steps: StepRecord[] = [];
  const epochs: EpochRecord[] = [];
  const history = await fit(model, loader, {
    ...options,
    metrics: { accuracy },
    validation: validation(),
    callbacks: {
      onStep: (record) => void steps.push(record),
      onEpoch: (record) => void epochs.push(record),
    },
  });
  expect(history.aborted).toBe(false);
  expect(history.losses).toHaveLength(6 * loader.length);
  expect(steps.map(({ loss }) => loss)).toEqual(history.losses);
  expect(steps.map(({ learningRate }) => learningRate)).toEqual(history.learningRates);
  expect(steps.map(({ step }) => step)).toEqual(history.losses.map((_, i) => i + 1));
  expect(epochs).toEqual(history.epochs);
  expect(epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6]);
  const last = epochs[5]!;
  expect(last.loss).toBeLessThan(0.7 * history.losses[0]!);
  expect(last.validation!.accuracy).toBeGreaterThan(0.9);
  expect(last.metrics.accuracy).toBeGreaterThan(0.85);
  const again = await evaluate(model, validation(), { loss: options.loss, metrics: { accuracy } });
  expect(again).toEqual(last.validation);
  expect(model.training).toBe(true);
});

test('leaves nothing behind', async () => {
  const { model, loader, options } = makeRun({ epochs: 2 });
  const run = { ...options, scheduler: undefined, metrics: { accuracy }, maxGradNorm: 1 };
  await fit(model, loader, { ...run, validation: validation() });
  const { tensors, bytes } = memory();
  await fit(model, loader, { ...run, validation: validation() });
  expect(memory().tensors).toBeLessThanOrEqual(tensors);
  expect(memory().bytes).toBeLessThanOrEqual(bytes);
});

test('evaluate: means over the samples, eval mode, no gradients', async () => {
  const { model } = makeRun();
  const arrays = halves(10, 3).arrays;
  const loader = (batchSize: number) => new DataLoader({ arrays }, { batchSize });
  const loss = crossEntropy as never;
  const [whole, parts] = [
    await evaluate(model, loader(10), { loss, metrics: { accuracy } }),
    await evaluate(model, loader(4), { loss, metrics: { accuracy } }),
  ];
  expect(parts.loss).toBeCloseTo(whole.loss!, 5);
  expect(parts.accuracy).toBeCloseTo(whole.accuracy!, 6);
  expect(model.parameters().every((p) => p.grad === null)).toBe(true);
});

test('a scheduler by epoch', async () => {
  const { model, loader, options } = makeRun({ epochs: 2 });
  options.optimizer.learningRate = 0.1;
  const scheduler = new StepLR(options.optimizer, 1, { gamma: 0.5 });
  const history = await fit(model, loader, { ...options, scheduler, schedulerInterval: 'epoch' });
  expect(new Set(history.learningRates)).toEqual(new Set([0.1, 0.05]));
  expect(options.optimizer.learningRate).toBe(0.025);
});

test('ReduceLROnPlateau moves on after epochs, by loss or metric, and resumes', async () => {
  const { model, loader, options } = makeRun({ epochs: 4 });
  const folder = mkdtempSync(path.join(tmpdir(), 'fluxion-plateau-'));
  options.optimizer.learningRate = 0.1;
  // No loss is better than the first by a hundredfold: each further epoch halves the rate.
  const make = () =>
    new ReduceLROnPlateau(options.optimizer, { factor: 0.5, patience: 0, threshold: 0.99 });
  const run = { ...options, scheduler: make(), checkpoint: { path: folder } };
  await fit(model, loader, { ...run, epochs: 2 });
  expect(options.optimizer.learningRate).toBe(0.05);
  const scheduler = make();
  const history = await fit(model, loader, { ...run, scheduler });
  expect(options.optimizer.learningRate).toBe(0.0125);
  expect(history.epochs.map((e) => e.learningRate)).toEqual([0.1, 0.05, 0.025, 0.0125]);
  const rising = new ReduceLROnPlateau(options.optimizer, { mode: 'max', patience: 0 });
  const metrics = { accuracy };
  const other = { ...options, metrics, scheduler: rising, schedulerMetric: 'accuracy', epochs: 1 };
  await fit(model, loader, other);
  expect(rising.stateDict().best).toBeGreaterThan(0);
  for (const wrong of [
    { ...other, schedulerInterval: 'step' as const },
    { ...other, schedulerMetric: 'f1' },
    { ...other, scheduler: undefined },
  ]) {
    await expect(fit(model, loader, wrong)).rejects.toMatchObject({
      code: 'FLUXION_INVALID_ARGUMENT',
    });
  }
  rmSync(folder, { recursive: true });
});

describe('signal', () => {
  test('ends the run after a step, with the history so far', async () => {
    const { model, loader, options } = makeRun();
    const controller = new AbortController();
    const history = await fit(model, loader, {
      ...options,
      signal: controller.signal,
      callbacks: { onStep: ({ step }) => step === 13 && controller.abort() },
    });
    expect(history.aborted).toBe(true);
    expect(history.epochs).toHaveLength(1);
    // The callback comes while the next step is under way, or between the two.
    expect([13, 14]).toContain(history.losses.length);
  });

  test('aborted before: not a step', async () => {
    const { model, loader, options } = makeRun();
    const before = await weightsOf(model);
    const history = await fit(model, loader, { ...options, signal: AbortSignal.abort() });
    expect(history).toMatchObject({ aborted: true, losses: [] });
    expect(await weightsOf(model)).toBe(before);
  });
});

describe('errors', () => {
  test('of the loss, the data and the callbacks reject the promise', async () => {
    const { model, loader, options } = makeRun();
    const { tensors } = memory();
    const fail = () => {
      throw new Error('mine');
    };
    await expect(fit(model, loader, { ...options, loss: fail })).rejects.toThrow('mine');
    await expect(fit(model, loader, { ...options, callbacks: { onStep: fail } })).rejects.toThrow(
      'mine',
    );
    await expect(fit(model, loader, { ...options, metrics: { fail } })).rejects.toThrow('mine');
    options.optimizer.dispose();
    expect(memory().tensors).toBeLessThanOrEqual(tensors);
  });

  test('that only the data can show are those of the operation', async () => {
    const { model, options } = makeRun();
    const { arrays } = halves(16, 1);
    arrays[1]!.data[3] = 99;
    const bad = new DataLoader({ arrays }, { batchSize: 16 });
    await expect(fit(model, bad, { ...options, scheduler: undefined })).rejects.toMatchObject({
      name: 'FluxionError',
    });
  });

  test('a source that gives fewer batches than it says', async () => {
    const { model, loader, options } = makeRun();
    const short = { length: 12, batches: (place: object) => loader.batches(place) };
    await expect(fit(model, short, options)).rejects.toThrow('its 12 batches, got 10');
  });

  test('bad options', async () => {
    const { model, loader, options } = makeRun();
    await expect(fit(model, loader, { ...options, epochs: -1 })).rejects.toThrow('epochs');
    await expect(fit(model, loader, {} as never)).rejects.toThrow('loss');
    const misspelt = { ...options, metric: {} };
    await expect(fit(model, loader, misspelt)).rejects.toThrow("no option 'metric'");
    const checkpoint = { path: 'unused', every: { steps: 0 } };
    await expect(fit(model, loader, { ...options, checkpoint })).rejects.toThrow('every');
  });
});

test('the event loop stays free', async () => {
  const { model, loader, options } = makeRun({ epochs: 10 });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await fit(model, loader, { ...options, metrics: { accuracy } });
  delay.disable();
  // Generous: the machine may be busy. bench/event-loop.mjs has the strict figure.
  expect(delay.percentile(99) / 1e6).toBeLessThan(100);
});

test('a batch function may keep what it was given', async () => {
  const { model, loader, options } = makeRun({ epochs: 1 });
  let last = tensor(0);
  await fit(model, loader, {
    ...options,
    metrics: { kept: (output) => (last = keep(output.mean())) },
  });
  expect(Number.isFinite(last.item())).toBe(true);
});
