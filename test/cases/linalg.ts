import {
  type Conv2dOptions,
  type Tensor,
  adaptiveAvgPool2d,
  avgPool2d,
  batchNorm,
  bmm,
  conv2d,
  crossEntropy,
  layerNorm,
  linear,
  matmul,
  maxPool2d,
  mseLoss,
  nllLoss,
} from '../../lib';
import {
  type Bench,
  type Case,
  type Input,
  type Values,
  at,
  build,
  distinct,
  sizeOf,
} from './case';

// Sizes around the register tiles (4 to 8 rows, 8 to 48 columns) with tails. Sums of float32 products carry
// their rounding: tolerances are those of the longest sums here.
const SUMS = { float32: 2e-5, float64: 1e-12 };

const show = (value: unknown) => JSON.stringify(value);

// --- matrix products

/** Result shape and value of a batched product, naively. */
function product(a: Values, b: Values): Values {
  const batch = Math.max(a.shape.length, b.shape.length) - 2;
  const sizeAt = (x: Values, i: number) => x.shape[i - batch + x.shape.length - 2] ?? 1;
  const leading = Array.from({ length: batch }, (_, i) => Math.max(sizeAt(a, i), sizeAt(b, i)));
  const depth = a.shape.at(-1)!;
  return build([...leading, a.shape.at(-2)!, b.shape.at(-1)!], (index) => {
    const [i, j] = [index.at(-2)!, index.at(-1)!];
    const outer = index.slice(0, -2);
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += at(a, [...outer, i, k]) * at(b, [...outer, k, j]);
    return sum;
  });
}

const reshaped = (x: Values, shape: readonly number[]): Values => ({ shape, data: x.data });

function matmulCase(a: number[], b: number[], bench?: Bench[]): Case {
  return {
    name: `matmul ${show(a)} ${show(b)}`,
    ops: ['matmul'],
    inputs: [{ shape: a }, { shape: b }],
    run: matmul,
    reference: (x, y) => {
      const row = x.shape.length === 1 ? reshaped(x, [1, x.shape[0]!]) : x;
      const column = y.shape.length === 1 ? reshaped(y, [y.shape[0]!, 1]) : y;
      const full = product(row, column);
      const batch = full.shape.slice(0, -2);
      const kept = [
        ...(row === x ? [full.shape.at(-2)!] : []),
        ...(column === y ? [full.shape.at(-1)!] : []),
      ];
      return reshaped(full, [...batch, ...kept]);
    },
    tolerance: SUMS,
    linearIn: [0, 1],
    bench,
  };
}

const MATMUL: Case[] = [
  matmulCase(
    [8, 48],
    [48, 48],
    [
      { shapes: [[1024, 1024], [1024, 1024]], elements: 3 * 2 ** 20, flops: 2 ** 31 }, // prettier-ignore
      { shapes: [[64, 576], [576, 4096]], elements: 64 * 576 + 640 * 4096, flops: 2 * 64 * 576 * 4096 }, // prettier-ignore
    ],
  ),
  matmulCase([1, 1], [1, 1]),
  matmulCase([9, 33], [33, 49]),
  matmulCase([70, 19], [19, 1]),
  matmulCase([1, 19], [19, 70]),
  matmulCase([3, 0], [0, 5]),
  matmulCase([4, 3, 7], [4, 7, 5]),
  matmulCase([4, 3, 7], [7, 5]),
  matmulCase([2, 1, 3, 4], [5, 4, 6]),
  matmulCase([17], [17]),
  matmulCase([3, 5, 17], [17]),
  matmulCase([5], [3, 5, 4]),
  {
    name: 'bmm',
    ops: ['matmul'],
    inputs: [{ shape: [3, 5, 4] }, { shape: [3, 4, 18] }],
    run: bmm,
    reference: product,
    tolerance: SUMS,
  },
  {
    name: 'linear',
    ops: ['matmul'],
    inputs: [{ shape: [2, 5, 17] }, { shape: [9, 17] }, { shape: [9] }],
    run: (x, weight, bias) => linear(x, weight, { bias }),
    reference: (x, w, b) =>
      build([2, 5, 9], ([i, j, o]) => {
        let sum = b.data[o!]!;
        for (let k = 0; k < 17; k++) sum += at(x, [i!, j!, k]) * at(w, [o!, k]);
        return sum;
      }),
    tolerance: SUMS,
  },
];

// --- convolution

type Window = [number, number];
const windowOf = (
  size: number | readonly [number, number] | null | undefined,
  fallback: Window,
): Window =>
  size === undefined || size === null
    ? fallback
    : typeof size === 'number'
      ? [size, size]
      : [...size];

function convReference(options: Conv2dOptions): Case['reference'] {
  const [sh, sw] = windowOf(options.stride, [1, 1]);
  const [ph, pw] = windowOf(options.padding, [0, 0]);
  const [dh, dw] = windowOf(options.dilation, [1, 1]);
  return (x, weight, bias) => {
    const [n, , h, w] = x.shape as [number, number, number, number];
    const [outputs, channels, kh, kw] = weight.shape as [number, number, number, number];
    const oh = Math.floor((h + 2 * ph - dh * (kh - 1) - 1) / sh) + 1;
    const ow = Math.floor((w + 2 * pw - dw * (kw - 1) - 1) / sw) + 1;
    const perGroup = outputs / (options.groups ?? 1);
    return build([n, outputs, oh, ow], ([image, o, i, j]) => {
      let sum = bias ? bias.data[o!]! : 0;
      for (let c = 0; c < channels; c++) {
        for (let a = 0; a < kh; a++) {
          for (let b = 0; b < kw; b++) {
            const [r, s] = [i! * sh + a * dh - ph, j! * sw + b * dw - pw];
            if (r < 0 || r >= h || s < 0 || s >= w) continue;
            const channel = Math.floor(o! / perGroup) * channels + c;
            sum += at(x, [image!, channel, r, s]) * at(weight, [o!, c, a, b]);
          }
        }
      }
      return sum;
    });
  };
}

const CONV_OPS = ['conv2d', 'conv2d_input_vjp', 'conv2d_weight_vjp'];

function convCase(x: number[], weight: number[], options: Conv2dOptions, bench?: Bench[]): Case[] {
  const shared = {
    ops: CONV_OPS,
    tolerance: SUMS,
    reference: convReference(options),
  };
  const label = `conv2d ${show(x)} ${show(weight)} ${show(options)}`;
  return [
    {
      ...shared,
      name: label,
      inputs: [{ shape: x }, { shape: weight }],
      run: (input, w) => conv2d(input, w, options),
      linearIn: [0, 1],
      bench,
    },
    {
      ...shared,
      name: `${label} with bias`,
      inputs: [{ shape: x }, { shape: weight }, { shape: [weight[0]!] }],
      run: (input, w, bias) => conv2d(input, w, { ...options, bias }),
    },
  ];
}

const convBench = (x: number[], weight: number[]): Bench => ({
  shapes: [x, weight],
  elements: sizeOf(x) + sizeOf(weight) + (sizeOf(x) / x[1]!) * weight[0]!,
  flops: (2 * sizeOf(x) * sizeOf(weight)) / x[1]!,
});

const CONV: Case[] = [
  ...convCase([2, 3, 9, 11], [5, 3, 3, 3], { padding: 1 }, [
    convBench([32, 64, 64, 64], [64, 64, 3, 3]),
    convBench([32, 128, 32, 32], [128, 128, 3, 3]),
  ]),
  ...convCase([1, 18, 5, 13], [17, 18, 1, 1], {}),
  ...convCase([1, 9, 7, 35], [10, 9, 3, 3], { padding: 1 }),
  ...convCase([2, 4, 12, 17], [6, 2, 3, 2], {
    stride: [2, 3],
    padding: [1, 2],
    dilation: [2, 1],
    groups: 2,
  }),
  ...convCase([1, 3, 13, 16], [4, 3, 3, 5], { stride: 2, padding: [1, 2], dilation: 2 }),
  ...convCase([1, 2, 10, 10], [3, 2, 2, 2], { stride: [4, 3] }),
  ...convCase([1, 2, 5, 4], [3, 2, 3, 3], { padding: [4, 5] }),
  ...convCase([2, 5, 9, 33], [5, 1, 3, 3], { padding: 1, groups: 5 }),
  ...convCase([1, 5, 11, 19], [5, 1, 3, 5], {
    stride: [3, 2],
    padding: [1, 3],
    dilation: [2, 3],
    groups: 5,
  }),
  ...convCase([1, 3, 8, 9], [6, 1, 3, 3], { stride: [2, 1], padding: 1, groups: 3 }),
];

// --- pooling

interface PoolOptions {
  stride?: number | [number, number];
  padding?: number | [number, number];
}

/** f of the values in each window and of how many elements of the padded input it covers. */
function pooled(
  x: Values,
  kernel: Window,
  options: PoolOptions,
  f: (values: number[], covered: number) => number,
) {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const [sh, sw] = windowOf(options.stride, kernel);
  const [ph, pw] = windowOf(options.padding, [0, 0]);
  const size = (length: number, k: number, s: number, p: number) =>
    Math.floor((length + 2 * p - k) / s) + 1;
  return build(
    [n, c, size(h, kernel[0], sh, ph), size(w, kernel[1], sw, pw)],
    ([image, channel, i, j]) => {
      const values: number[] = [];
      let covered = 0;
      for (let r = i! * sh - ph; r < i! * sh - ph + kernel[0]; r++) {
        for (let s = j! * sw - pw; s < j! * sw - pw + kernel[1]; s++) {
          if (r < h + ph && s < w + pw) covered++;
          if (r >= 0 && r < h && s >= 0 && s < w) values.push(at(x, [image!, channel!, r, s]));
        }
      }
      return f(values, covered);
    },
  );
}

const sumOf = (values: number[]) => values.reduce((a, b) => a + b, 0);

const POOL: Case[] = (
  [
    [[2, 3, 9, 35], [3, 2], { stride: 2, padding: [1, 0] }],
    [[1, 2, 16, 16], [2, 2], {}],
    [[1, 2, 7, 5], [3, 3], { stride: 1, padding: 1 }],
    [[1, 1, 8, 20], [2, 3], { stride: 3, padding: 1 }],
  ] as [number[], Window, PoolOptions][]
).flatMap(([shape, kernel, options]): Case[] => {
  const label = `${show(shape)} ${show(kernel)} ${show(options)}`;
  const bench = [
    { shapes: [[32, 64, 64, 64]], elements: 32 * 64 * 64 * 64, flops: 32 * 64 * 64 * 64 },
  ];
  const average = (countIncludePad: boolean): Case => ({
    name: `avgPool2d ${label} ${countIncludePad}`,
    ops: ['avg_pool2d', 'avg_pool2d_vjp'],
    inputs: [{ shape }],
    run: (x) => avgPool2d(x, kernel, { ...options, countIncludePad }),
    reference: (x) =>
      pooled(x, kernel, options, (v, covered) => sumOf(v) / (countIncludePad ? covered : v.length)),
    linearIn: [0],
    bench,
  });
  return [
    {
      name: `maxPool2d ${label}`,
      ops: ['max_pool2d', 'max_pool2d_vjp'],
      inputs: [{ shape, generate: distinct }],
      run: (x) => maxPool2d(x, kernel, options),
      reference: (x) => pooled(x, kernel, options, (v) => Math.max(...v)),
      bench,
    },
    average(true),
    average(false),
  ];
});

const ADAPTIVE: Case[] = (
  [
    [
      [2, 3, 9, 37],
      [1, 1],
    ],
    [
      [2, 3, 9, 37],
      [4, 5],
    ],
    [
      [1, 2, 3, 3],
      [5, 7],
    ],
  ] as [number[], Window][]
).map(([shape, size]) => ({
  name: `adaptiveAvgPool2d ${show(shape)} ${show(size)}`,
  ops: ['adaptive_avg_pool2d', 'adaptive_avg_pool2d_vjp'],
  inputs: [{ shape }],
  run: (x) => adaptiveAvgPool2d(x, size),
  reference: (x) =>
    build([shape[0]!, shape[1]!, ...size], ([n, c, i, j]) => {
      const range = (k: number, length: number, parts: number) =>
        [Math.floor((k * length) / parts), Math.ceil(((k + 1) * length) / parts)] as const;
      const [top, bottom] = range(i!, shape[2]!, size[0]);
      const [left, right] = range(j!, shape[3]!, size[1]);
      let sum = 0;
      for (let r = top; r < bottom; r++)
        for (let s = left; s < right; s++) sum += at(x, [n!, c!, r, s]);
      return sum / ((bottom - top) * (right - left));
    }),
  linearIn: [0],
}));

// --- normalisation

/** (x - mean) / sqrt(variance + eps) weight + bias, with groups and weights by position. */
function normalised(
  x: Values,
  group: (i: number) => number,
  weightOf: (i: number) => number,
  eps: number,
  weight?: Values,
  bias?: Values,
): Values {
  const groups = new Map<number, number[]>();
  x.data.forEach((v, i) => groups.set(group(i), [...(groups.get(group(i)) ?? []), v]));
  const moments = new Map(
    [...groups].map(([g, values]) => {
      const mean = sumOf(values) / values.length;
      return [g, { mean, variance: sumOf(values.map((v) => (v - mean) ** 2)) / values.length }];
    }),
  );
  const data = x.data.map((v, i) => {
    const { mean, variance } = moments.get(group(i))!;
    const z = (v - mean) / Math.sqrt(variance + eps);
    return z * (weight?.data[weightOf(i)] ?? 1) + (bias?.data[weightOf(i)] ?? 0);
  });
  return { shape: x.shape, data };
}

const NORM_TOLERANCE = { float32: 1e-5, float64: 1e-11 };

const NORM: Case[] = [
  [4, 3, 5, 7],
  [9, 33],
  [3, 2, 20],
].flatMap((shape): Case[] => {
  const inner = sizeOf(shape.slice(2));
  const channel = (i: number) => Math.floor(i / inner) % shape[1]!;
  const row = shape.slice(1);
  const affine = (parameter: readonly number[]): Input[] => [
    { shape },
    { shape: parameter },
    { shape: parameter },
  ];
  const bench = [
    { shapes: [[32, 64, 64, 64], [64], [64]], elements: 2 * 32 * 64 * 64 * 64, flops: 0 },
  ];
  const batch = { ops: ['batch_norm', 'batch_norm_vjp'], tolerance: NORM_TOLERANCE };
  const layer = { ops: ['layer_norm', 'layer_norm_vjp'], tolerance: NORM_TOLERANCE };
  return [
    {
      ...batch,
      name: `batchNorm ${show(shape)}`,
      inputs: [{ shape, range: [3, 5] }],
      run: (x) => batchNorm(x, { training: true, eps: 1e-3 }),
      reference: (x) => normalised(x, channel, channel, 1e-3),
    },
    {
      ...batch,
      name: `batchNorm ${show(shape)} affine`,
      inputs: affine([shape[1]!]),
      run: (x, weight, bias) => batchNorm(x, { weight, bias, training: true }),
      reference: (x, weight, bias) => normalised(x, channel, channel, 1e-5, weight, bias),
      bench: inner > 20 ? bench : undefined,
    },
    {
      ...layer,
      name: `layerNorm ${show(shape)}`,
      inputs: [{ shape, range: [3, 5] }],
      run: (x) => layerNorm(x, shape.at(-1)!, { eps: 1e-3 }),
      reference: (x) =>
        normalised(
          x,
          (i) => Math.floor(i / shape.at(-1)!),
          () => 0,
          1e-3,
        ),
    },
    {
      ...layer,
      name: `layerNorm ${show(shape)} affine`,
      inputs: affine(row),
      run: (x, weight, bias) => layerNorm(x, row, { weight, bias }),
      reference: (x, weight, bias) =>
        normalised(
          x,
          (i) => Math.floor(i / sizeOf(row)),
          (i) => i % sizeOf(row),
          1e-5,
          weight,
          bias,
        ),
    },
  ];
});

const EVALUATION: Case = {
  name: 'batchNorm from running statistics',
  ops: [],
  inputs: [{ shape: [4, 3, 5] }, { shape: [3] }, { shape: [3], range: [0.5, 2] }],
  run: (x, runningMean, runningVar) => batchNorm(x, { runningMean, runningVar }),
  reference: (x, mean, variance) =>
    build(x.shape, (i) => (at(x, i) - mean.data[i[1]!]!) / Math.sqrt(variance.data[i[1]!]! + 1e-5)),
};

// --- losses

function lossesOf(logits: Values, target: Values, smoothing: number): Values {
  const classes = logits.shape[1]!;
  return build(target.shape, (index) => {
    const z = Array.from({ length: classes }, (_, c) =>
      at(logits, [index[0]!, c, ...index.slice(1)]),
    );
    const top = Math.max(...z);
    const logSum = top + Math.log(sumOf(z.map((v) => Math.exp(v - top))));
    return logSum - (1 - smoothing) * z[at(target, index)]! - (smoothing / classes) * sumOf(z);
  });
}

const meanOf = (x: Values): Values => ({
  shape: [],
  data: Float64Array.of(sumOf([...x.data]) / x.data.length),
});
const summed = (x: Values): Values => ({ shape: [], data: Float64Array.of(sumOf([...x.data])) });

const LOSS_TOLERANCE = { float32: 2e-5, float64: 1e-12 };

const LOSSES: Case[] = [
  [5, 10],
  [150, 3],
  [2, 7, 9, 17],
  [1, 1, 2],
].flatMap((shape): Case[] => {
  const positions = shape.filter((_, i) => i !== 1);
  const target: Input = { shape: positions, dtype: 'int32', range: [0, shape[1]!] };
  const entropy = { ops: ['cross_entropy', 'cross_entropy_vjp'], tolerance: LOSS_TOLERANCE };
  return [
    {
      ...entropy,
      name: `crossEntropy ${show(shape)}`,
      inputs: [{ shape, range: [-8, 8] }, target],
      run: (logits, labels) => crossEntropy(logits, labels),
      reference: (logits, labels) => meanOf(lossesOf(logits, labels, 0)),
      bench:
        shape[0] === 5
          ? [{ shapes: [[4096, 1000], [4096]], elements: 4096 * 1001, flops: 0 }]
          : undefined,
    },
    {
      ...entropy,
      name: `crossEntropy ${show(shape)} smoothed`,
      inputs: [{ shape }, { ...target, dtype: 'uint8' }],
      run: (logits, labels) =>
        crossEntropy(logits, labels, { reduction: 'none', labelSmoothing: 0.1 }),
      reference: (logits, labels) => lossesOf(logits, labels, 0.1),
    },
    {
      name: `nllLoss ${show(shape)}`,
      ops: [],
      inputs: [{ shape }, target],
      run: (x, labels) => nllLoss(x, labels, { reduction: 'sum' }),
      reference: (x, labels) =>
        summed(build(positions, (i) => -at(x, [i[0]!, at(labels, i), ...i.slice(1)]))),
      tolerance: LOSS_TOLERANCE,
    },
  ];
});

const MSE: Case[] = (['mean', 'sum', 'none'] as const).map((reduction) => ({
  name: `mseLoss ${reduction}`,
  ops: [],
  inputs: [{ shape: [3, 17] }, { shape: [3, 17] }],
  run: (x: Tensor, target: Tensor) => mseLoss(x, target, { reduction }),
  reference: (x, target) => {
    const squares = build(x.shape, (i) => (at(x, i) - at(target, i)) ** 2);
    return reduction === 'mean' ? meanOf(squares) : reduction === 'sum' ? summed(squares) : squares;
  },
  tolerance: LOSS_TOLERANCE,
}));

export const LINALG: Case[] = [
  ...MATMUL,
  ...CONV,
  ...POOL,
  ...ADAPTIVE,
  ...NORM,
  EVALUATION,
  ...LOSSES,
  ...MSE,
];
