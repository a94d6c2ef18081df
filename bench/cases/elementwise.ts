import { type Tensor, add, exp, gelu, relu, sigmoid, silu, sum, tanh, tidy } from 'fluxion';
import {
  type Case,
  TORCH,
  clearGrads,
  defineCase,
  expectClose,
  expectSampled,
  inputSets,
} from '../case';

const CALLS = 10_000;

/** What a call costs when the work is nothing: 10,000 of them in one scope. */
function smallAdd(name: string, recorded: boolean): Case {
  return defineCase({
    name: `add-small/${name}`,
    peer: recorded ? 'add-small-recorded' : 'add-small',
    peers: TORCH,
    dtype: 'float32',
    sizes: { n: 4, inner: CALLS },
    small: { n: 4, inner: 10 },
    floors: ({ n }) => ({ bytes: 12 * n, flops: n }),
    inputBytes: () => 0,
    operations: ({ inner }) => inner,
    setup: ({ n, inner }) => {
      const [x] = inputSets(1, [n], { requiresGrad: recorded }) as [Tensor];
      const [y] = inputSets(1, [n], { seed: 2 }) as [Tensor];
      return {
        run: () => {
          for (let i = 0; i < inner; i++) add(x, y);
        },
        verify: () => {
          const [a, b] = [x.dataSync(), y.dataSync()];
          expectSampled(
            'add',
            tidy(() => add(x, y).dataSync()),
            (i) => a[i]! + b[i]!,
            1e-6,
          );
        },
      };
    },
  });
}

interface Pointwise {
  name: string;
  apply: (x: Tensor) => Tensor;
  reference: (x: number) => number;
  flops: number;
}

const POINTWISE: readonly Pointwise[] = [
  { name: 'relu', apply: relu, reference: (x) => Math.max(x, 0), flops: 1 },
  { name: 'exp', apply: exp, reference: Math.exp, flops: 1 },
  { name: 'silu', apply: silu, reference: (x) => x / (1 + Math.exp(-x)), flops: 4 },
];

/** Functions whose backward is timed too, with their derivatives. */
const ACTIVATIONS: readonly (Pointwise & { slope: (x: number) => number })[] = [
  {
    ...{ name: 'tanh', apply: tanh, reference: Math.tanh, flops: 4 },
    slope: (x) => 1 - Math.tanh(x) ** 2,
  },
  {
    ...{ name: 'sigmoid', apply: sigmoid, reference: logistic, flops: 4 },
    slope: (x) => logistic(x) * (1 - logistic(x)),
  },
  {
    name: 'gelu',
    apply: (x) => gelu(x),
    reference: (x) => x * normalCdf(x),
    slope: (x) => normalCdf(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
    flops: 8,
  },
];

function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Phi by its series of odd powers: exact enough for |x| < 7. */
function normalCdf(x: number): number {
  let term = x;
  let total = x;
  for (let n = 1; n < 150; n++) total += term *= (x * x) / (2 * n + 1);
  return 0.5 + (total * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

const LARGE = { n: 8 * 2 ** 20 };
const SMALL = { n: 1000 };

function pointwise({ name, apply, reference, flops }: Pointwise): Case {
  return defineCase({
    name: `${name}/8m`,
    peer: name,
    peers: TORCH,
    dtype: 'float32',
    sizes: LARGE,
    small: SMALL,
    floors: ({ n }) => ({ bytes: 8 * n, flops: flops * n }),
    inputBytes: ({ n }) => 4 * n,
    setup: ({ n }, sets) => {
      const x = inputSets(sets, [n]);
      return {
        run: (set) => apply(x[set]!),
        verify: () => {
          const given = x[0]!.dataSync();
          const values = tidy(() => apply(x[0]!).dataSync());
          expectSampled(name, values, (i) => reference(given[i]!), 1e-6);
        },
      };
    },
  });
}

/** Forward and backward with a given cotangent: x is read and y written, then g and what was saved are read. */
function pointwiseBackward({ name, apply, slope }: (typeof ACTIVATIONS)[number]): Case {
  return defineCase({
    name: `${name}/8m-backward`,
    peer: `${name}-backward`,
    peers: TORCH,
    dtype: 'float32',
    sizes: LARGE,
    small: SMALL,
    floors: ({ n }) => ({ bytes: 20 * n, flops: 12 * n }),
    inputBytes: ({ n }) => 8 * n,
    setup: ({ n }, sets) => {
      const x = inputSets(sets, [n], { requiresGrad: true });
      const g = inputSets(sets, [n], { seed: 2 });
      const run = (set: number) => {
        clearGrads(x[set]!);
        const y = apply(x[set]!);
        y.backward(g[set]);
        return y;
      };
      return {
        run,
        verify: () => {
          tidy(() => void run(0));
          const [at, cotangent] = [x[0]!.dataSync(), g[0]!.dataSync()];
          const gradient = x[0]!.grad!.dataSync();
          expectSampled(name, gradient, (i) => cotangent[i]! * slope(at[i]!), 2e-6);
        },
      };
    },
  });
}

const addLarge = defineCase({
  name: 'add/8m',
  peer: 'add',
  peers: [...TORCH, 'typed-array'],
  dtype: 'float32',
  sizes: LARGE,
  small: SMALL,
  floors: ({ n }) => ({ bytes: 12 * n, flops: n }),
  inputBytes: ({ n }) => 8 * n,
  setup: ({ n }, sets) => {
    const x = inputSets(sets, [n]);
    const y = inputSets(sets, [n], { seed: 2 });
    return {
      run: (set) => add(x[set]!, y[set]!),
      verify: () => {
        const [a, b] = [x[0]!.dataSync(), y[0]!.dataSync()];
        const values = tidy(() => add(x[0]!, y[0]!).dataSync());
        expectSampled('add', values, (i) => a[i]! + b[i]!, 1e-6);
      },
    };
  },
});

const sumLarge = defineCase({
  name: 'sum/8m',
  peer: 'sum',
  peers: TORCH,
  dtype: 'float32',
  sizes: LARGE,
  small: SMALL,
  floors: ({ n }) => ({ bytes: 4 * n, flops: n }),
  inputBytes: ({ n }) => 4 * n,
  setup: ({ n }, sets) => {
    const x = inputSets(sets, [n]);
    return {
      run: (set) => sum(x[set]!),
      verify: () => {
        let expected = 0;
        let magnitude = 0;
        for (const value of x[0]!.dataSync()) {
          expected += value;
          magnitude += Math.abs(value);
        }
        const actual = tidy(() => sum(x[0]!).item());
        expectClose('sum / sum |x|', actual / magnitude, expected / magnitude, 1e-6);
      },
    };
  },
});

const addBroadcast = defineCase({
  name: 'add-broadcast/channel',
  peer: 'add-broadcast',
  peers: TORCH,
  dtype: 'float32',
  sizes: { n: 32, c: 64, h: 64, w: 64 },
  small: { n: 2, c: 3, h: 5, w: 7 },
  floors: ({ n, c, h, w }) => ({ bytes: 8 * n * c * h * w + 4 * c, flops: n * c * h * w }),
  inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w,
  setup: ({ n, c, h, w }, sets) => {
    const x = inputSets(sets, [n, c, h, w]);
    const [bias] = inputSets(1, [1, c, 1, 1], { seed: 2 }) as [Tensor];
    return {
      run: (set) => add(x[set]!, bias),
      verify: () => {
        const [a, b] = [x[0]!.dataSync(), bias.dataSync()];
        const values = tidy(() => add(x[0]!, bias).dataSync());
        expectSampled('add', values, (i) => a[i]! + b[Math.floor(i / (h * w)) % c]!, 1e-6);
      },
    };
  },
});

export const ELEMENTWISE: readonly Case[] = [
  smallAdd('forward', false),
  smallAdd('recorded', true),
  addLarge,
  ...POINTWISE.map(pointwise),
  ...ACTIVATIONS.map(pointwise),
  ...ACTIVATIONS.map(pointwiseBackward),
  sumLarge,
  addBroadcast,
];
