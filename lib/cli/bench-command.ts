import { setImmediate } from 'node:timers/promises';
import { requireArgument, show } from '../errors';
import { manualSeed } from '../tensor/generator';
import { config } from '../tensor/runtime';
import { tidy } from '../autograd/tidy';
import {
  conv2d,
  crossEntropy,
  implicitDiffusion2d,
  matmul,
  randint,
  randn,
  rfft2,
  spectralDiffusion2d,
  zeros,
} from '../ops';
import { RDNN } from '../models';
import { AdamW } from '../optim';

/** Samples of a measure; the median is printed. */
const SAMPLES = 15;
const SAMPLE_MS = 20;

interface Measure {
  name: string;
  size: string;
  /** Work of a call in 10^9 of `unit`; none for a step whose work nobody counted. */
  work?: { amount: number; unit: string };
  /** Makes the inputs and gives the call. */
  prepare: () => () => unknown;
}

const floats = (count: number) => ({ amount: (4 * count) / 1e9, unit: 'GB/s' });

const MEASURES: Measure[] = [
  {
    name: 'matmul',
    size: '[1024, 1024] x [1024, 1024]',
    work: { amount: (2 * 1024 ** 3) / 1e9, unit: 'GFLOP/s' },
    prepare() {
      const [a, b] = [randn([1024, 1024]), randn([1024, 1024])];
      return () => matmul(a, b);
    },
  },
  {
    name: 'conv2d 3x3',
    size: '[16, 64, 64, 64], 64 channels out',
    work: { amount: (2 * 16 * 64 * 64 * 64 * 64 * 9) / 1e9, unit: 'GFLOP/s' },
    prepare() {
      const [x, weight] = [randn([16, 64, 64, 64]), randn([64, 64, 3, 3])];
      return () => conv2d(x, weight, { padding: 1 });
    },
  },
  {
    name: 'implicitDiffusion2d',
    size: '[16, 16, 128, 128]',
    work: floats(2 * 16 * 16 * 128 * 128),
    prepare() {
      const [u, k] = [randn([16, 16, 128, 128]), randn([16]).abs()];
      return () => implicitDiffusion2d(u, k, { dt: 0.5 });
    },
  },
  {
    name: 'spectralDiffusion2d',
    size: '[16, 16, 128, 128]',
    work: floats(2 * 16 * 16 * 128 * 128),
    prepare() {
      const [u, k] = [randn([16, 16, 128, 128]), randn([16]).abs()];
      return () => spectralDiffusion2d(u, k, { dt: 0.5 });
    },
  },
  {
    name: 'rfft2',
    size: '[256, 128, 128]',
    work: floats(256 * 128 * (128 + 130)),
    prepare() {
      const u = randn([256, 128, 128]);
      return () => rfft2(u);
    },
  },
  {
    name: 'training step',
    size: 'RDNN [16, 32], [32, 1, 28, 28]',
    prepare() {
      const model = new RDNN({ channels: [16, 32], layersPerBlock: 2, classes: 10 });
      const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3 });
      const [x, y] = [randn([32, 1, 28, 28]), randint(0, 10, [32])];
      return () => {
        optimizer.zeroGrad();
        const loss = crossEntropy(model.forward(x), y);
        loss.backward();
        optimizer.step();
      };
    },
  },
];

/** Milliseconds of `calls` calls; the queue is in order, so that reading a new tensor waits for all of them. */
function time(call: () => unknown, calls: number): number {
  const start = performance.now();
  tidy(() => {
    for (let i = 0; i < calls; i++) tidy(() => void call());
    zeros([1]).dataSync();
  });
  return performance.now() - start;
}

async function medianTime(call: () => unknown): Promise<number> {
  time(call, 2); // caches, pages and allocators come to rest
  const calls = Math.max(1, Math.round(SAMPLE_MS / time(call, 1)));
  const samples: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    samples.push(time(call, calls) / calls);
    await setImmediate();
  }
  return samples.sort((a, b) => a - b)[SAMPLES >> 1]!;
}

/** `fluxion bench [filter]`: how fast this machine runs a few typical operations, the median of several samples. */
export async function benchCommand(filter = ''): Promise<void> {
  const chosen = MEASURES.filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
  requireArgument(
    chosen.length > 0,
    'bench',
    () =>
      `filter must be part of one of ${MEASURES.map(({ name }) => name).join(', ')}; got ${show(filter)}`,
  );
  const { version, instructionSet, threads } = config();
  console.log(`fluxion ${version}, ${instructionSet}, ${threads} threads, float32`);
  for (const { name, size, work, prepare } of chosen) {
    manualSeed(0);
    const milliseconds = await medianTime(prepare());
    const rate = work ? `${(work.amount / (milliseconds / 1e3)).toFixed(1)} ${work.unit}` : '';
    console.log(
      [
        name.padEnd(20),
        size.padEnd(36),
        `${milliseconds.toFixed(3)} ms`.padStart(12),
        rate.padStart(15),
      ]
        .join(' ')
        .trimEnd(),
    );
  }
}
