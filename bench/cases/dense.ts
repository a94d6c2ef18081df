import { type Tensor, batchNorm, crossEntropy, matmul, randint, softmax, tidy } from 'fluxion';
import {
  type Case,
  TORCH,
  clearGrads,
  defineCase,
  expectClose,
  expectSampled,
  inputSets,
} from '../case';

function matrixProduct(n: number): Case {
  return defineCase({
    name: `matmul/${n}`,
    peer: 'matmul',
    peers: TORCH,
    dtype: 'float32',
    sizes: { n },
    small: { n: 17 },
    floors: (s) => ({ bytes: 12 * s.n ** 2, flops: 2 * s.n ** 3 }),
    inputBytes: (s) => 8 * s.n ** 2,
    setup: (s, sets) => {
      const a = inputSets(sets, [s.n, s.n]);
      const b = inputSets(sets, [s.n, s.n], { seed: 2 });
      return {
        run: (set) => matmul(a[set]!, b[set]!),
        verify: () => {
          const [x, y] = [a[0]!.dataSync(), b[0]!.dataSync()];
          const entry = (index: number) => {
            const [i, j] = [Math.floor(index / s.n), index % s.n];
            let value = 0;
            for (let k = 0; k < s.n; k++) value += x[i * s.n + k]! * y[k * s.n + j]!;
            return value;
          };
          const values = tidy(() => matmul(a[0]!, b[0]!).dataSync());
          expectSampled('matmul', values, entry, 1e-6 * Math.sqrt(s.n));
        },
      };
    },
  });
}

const IMAGES = { n: 32, c: 64, h: 64, w: 64 };
const SMALL_IMAGES = { n: 2, c: 3, h: 6, w: 5 };

// The floor reads x twice: its statistics are known only after all of it has been read.
const batchNormRelu = defineCase({
  name: 'batch-norm-relu/forward',
  peer: 'batch-norm-relu',
  peers: TORCH,
  dtype: 'float32',
  sizes: IMAGES,
  small: SMALL_IMAGES,
  floors: ({ n, c, h, w }) => ({ bytes: 12 * n * c * h * w, flops: 7 * n * c * h * w }),
  inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w,
  setup: ({ n, c, h, w }, sets) => {
    const x = inputSets(sets, [n, c, h, w]);
    const [weight] = inputSets(1, [c], { seed: 2 }) as [Tensor];
    const [bias] = inputSets(1, [c], { seed: 3 }) as [Tensor];
    const options = { weight, bias, training: true, activation: 'relu' } as const;
    const apply = (input: Tensor) => batchNorm(input, options);
    return {
      run: (set) => apply(x[set]!),
      verify: () => {
        const given = x[0]!.dataSync();
        const [gain, offset] = [weight.dataSync(), bias.dataSync()];
        const values = tidy(() => apply(x[0]!).dataSync());
        const plane = h * w;
        const channel = c - 1;
        const positions = Array.from({ length: n * plane }, (_, i) => {
          return (Math.floor(i / plane) * c + channel) * plane + (i % plane);
        });
        const mean = positions.reduce((sum, p) => sum + given[p]!, 0) / positions.length;
        const variance =
          positions.reduce((sum, p) => sum + (given[p]! - mean) ** 2, 0) / positions.length;
        const scale = gain[channel]! / Math.sqrt(variance + 1e-5);
        for (const p of positions) {
          const expected = Math.max(0, (given[p]! - mean) * scale + offset[channel]!);
          expectClose(`batchNorm[${p}]`, values[p]!, expected, 1e-5);
        }
      },
    };
  },
});

const LOGITS = { n: 128, classes: 1000 };
const SMALL_LOGITS = { n: 3, classes: 7 };

/** e^x / sum e^x of a row of a matrix. */
function softmaxRow(values: ArrayLike<number>, row: number, classes: number): number[] {
  const logits = Array.from({ length: classes }, (_, j) => values[row * classes + j]!);
  const top = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - top));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

const softmaxForward = defineCase({
  name: 'softmax/forward',
  peer: 'softmax',
  peers: TORCH,
  dtype: 'float32',
  sizes: LOGITS,
  small: SMALL_LOGITS,
  floors: ({ n, classes }) => ({ bytes: 8 * n * classes, flops: 5 * n * classes }),
  inputBytes: ({ n, classes }) => 4 * n * classes,
  setup: ({ n, classes }, sets) => {
    const x = inputSets(sets, [n, classes]);
    return {
      run: (set) => softmax(x[set]!, -1),
      verify: () => {
        const given = x[0]!.dataSync();
        const expected = Array.from({ length: n }, (_, i) => softmaxRow(given, i, classes)).flat();
        const values = tidy(() => softmax(x[0]!, -1).dataSync());
        expectSampled('softmax', values, (i) => expected[i]!, 1e-6);
      },
    };
  },
});

function crossEntropyCase(backward: boolean): Case {
  return defineCase({
    name: `cross-entropy/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'cross-entropy-backward' : 'cross-entropy',
    peers: TORCH,
    dtype: 'float32',
    sizes: LOGITS,
    small: SMALL_LOGITS,
    floors: ({ n, classes }) => ({
      bytes: (backward ? 12 : 4) * n * classes,
      flops: (backward ? 8 : 5) * n * classes,
    }),
    inputBytes: ({ n, classes }) => 4 * n * classes,
    setup: ({ n, classes }, sets) => {
      const x = inputSets(sets, [n, classes], { requiresGrad: backward });
      const target = randint(0, classes, [n], { seed: 2 });
      const run = (set: number) => {
        const loss = crossEntropy(x[set]!, target);
        if (!backward) return loss;
        clearGrads(x[set]!);
        loss.backward();
        return loss;
      };
      return {
        run,
        verify: () => {
          const [given, labels] = [x[0]!.dataSync(), target.dataSync()];
          const rows = Array.from({ length: n }, (_, i) => softmaxRow(given, i, classes));
          const expected = rows.reduce((sum, p, i) => sum - Math.log(p[labels[i]!]!), 0) / n;
          const loss = tidy(() => run(0).item());
          expectClose('crossEntropy', loss, expected, 1e-5);
          if (!backward) return;
          const gradient = (i: number) => {
            const [row, j] = [Math.floor(i / classes), i % classes];
            return (rows[row]![j]! - (labels[row] === j ? 1 : 0)) / n;
          };
          expectSampled('d crossEntropy', x[0]!.grad!, gradient, 1e-7, 20_000);
        },
      };
    },
  });
}

export const DENSE: readonly Case[] = [
  matrixProduct(256),
  matrixProduct(1024),
  batchNormRelu,
  softmaxForward,
  crossEntropyCase(false),
  crossEntropyCase(true),
];
