// Trains, evaluates, saves, loads and fails on purpose, over and over: npm run reliability:soak -- --minutes=30
// After a warm-up the number of live tensors and their bytes must not change at all between rounds, and the memory
// of the process must stay flat.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  FluxionError,
  advectUpwind2d,
  data,
  implicitDiffusion2d,
  matmul,
  memory,
  rand,
  tensor,
  tidy,
  train,
} from '../../lib';
import { makeRun } from '../train/small-run';
import { type Outcome, argumentsOf, runRecorded } from './record';

const MB = 1e6;
/** Of the process memory, between the second and the last quarter of the run. */
const ALLOWED_GROWTH = 8 * MB;
/** Rounds between two samples of the process memory. */
const EVERY = 5;

interface Sample {
  rss: number;
  heap: number;
  bytes: number;
  tensors: number;
}

async function trainOnce(folder: string, round: number): Promise<number> {
  const { model, loader, options, optimizer } = makeRun({ epochs: 2, samples: 64 });
  const checkpoint = { path: path.join(folder, `run-${round % 3}`), resume: false };
  const log = train.jsonLog(path.join(folder, 'log.jsonl'));
  const { losses } = await train.fit(model, loader, { ...options, checkpoint, callbacks: log });
  await train.evaluate(model, loader, { metrics: { accuracy: train.accuracy } });
  optimizer.dispose();
  model.dispose();
  return losses.length;
}

async function filesOnce(folder: string): Promise<void> {
  const made = tidy(() => ({ a: rand([32, 32]), b: rand([3, 24, 24]) }));
  const at = (name: string) => path.join(folder, name);
  await data.saveSafetensors(made, at('x.safetensors'));
  await data.saveNpz(made, at('x.npz'));
  await data.saveImage(made.b, at('x.png'));
  const { tensors } = await data.loadSafetensors(at('x.safetensors'));
  const arrays = await data.loadNpz(at('x.npz'));
  const image = await data.loadImage(at('x.png'));
  for (const t of [...Object.values(made), ...Object.values(tensors), ...Object.values(arrays)])
    t.dispose();
  image.dispose();
}

/** The gradient of a PDE step that is read without blocking. */
async function solveOnce(): Promise<void> {
  await tidy(async () => {
    const u = rand([2, 3, 48, 48], { requiresGrad: true });
    const v = rand([2, 3, 2, 48, 48]);
    const stepped = tidy(() =>
      implicitDiffusion2d(advectUpwind2d(u, v.mul(0.1), { dt: 0.1 }), 0.2, { dt: 0.5 }),
    );
    stepped.square().mean().backward();
    await u.grad!.data();
  });
}

/** Errors of shapes and of data, at the call and at the read. */
async function failOnce(): Promise<number> {
  let errors = 0;
  const count = (error: unknown) => {
    if (!(error instanceof FluxionError)) throw error;
    errors++;
  };
  await tidy(async () => {
    try {
      matmul(rand([2, 3]), rand([4, 5]));
    } catch (error) {
      count(error);
    }
    const index = tensor([7], { dtype: 'int32' });
    await rand([3, 3]).indexSelect(0, index).data().catch(count);
  });
  return errors;
}

function sample(): Sample {
  globalThis.gc!();
  const { bytes, tensors } = memory();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed, bytes, tensors };
}

const highest = (samples: Sample[], key: keyof Sample) => Math.max(...samples.map((s) => s[key]));

async function soak(minutes: number): Promise<Outcome> {
  if (!globalThis.gc) throw new Error('run with --expose-gc');
  const folder = mkdtempSync(path.join(tmpdir(), 'fluxion-soak-'));
  const end = performance.now() + minutes * 60_000;
  const samples: Sample[] = [];
  let [rounds, steps, errors] = [0, 0, 0];
  try {
    while (performance.now() < end || samples.length < 8) {
      steps += await trainOnce(folder, rounds);
      await filesOnce(folder);
      await solveOnce();
      errors += await failOnce();
      rounds++;
      if (rounds % EVERY === 0) samples.push(sample());
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const quarter = Math.floor(samples.length / 4);
  const early = samples.slice(quarter, 2 * quarter);
  const late = samples.slice(-quarter);
  const growth = highest(late, 'rss') - highest(early, 'rss');
  const settled = samples.slice(quarter);
  const details: string[] = [];
  for (const kind of ['tensors', 'bytes'] as const) {
    const values = [...new Set(settled.map((s) => s[kind]))];
    if (values.length > 1) details.push(`live ${kind} change: ${values.slice(0, 5).join(', ')}`);
  }
  if (growth > ALLOWED_GROWTH) details.push(`the process grew by ${growth} bytes`);
  return {
    figures: {
      minutes: Math.round(minutes * 100) / 100,
      rounds,
      'training steps': steps,
      'errors raised and caught': errors,
      'live tensors at the end': settled.at(-1)!.tensors,
      'live bytes at the end': settled.at(-1)!.bytes,
      'process MB, second quarter': Math.round(highest(early, 'rss') / MB),
      'process MB, last quarter': Math.round(highest(late, 'rss') / MB),
      'JavaScript heap MB, second quarter': Math.round((10 * highest(early, 'heap')) / MB) / 10,
      'JavaScript heap MB, last quarter': Math.round((10 * highest(late, 'heap')) / MB) / 10,
    },
    failures: details.length,
    details,
  };
}

const { minutes } = argumentsOf({ minutes: 30 });
void runRecorded('soak', () => soak(minutes));
