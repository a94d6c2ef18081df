import {
  type FusedActivation,
  type Tensor,
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
} from '../../lib';
import { type Case, type Input, type Values, at, build, sizeOf, show, sumOf } from './case';

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

const ACTIVATIONS: [FusedActivation, (x: number) => number][] = [
  ['relu', (x) => Math.max(0, x)],
  ['leakyRelu', (x) => (x > 0 ? x : 0.01 * x)],
  ['elu', (x) => (x > 0 ? x : Math.expm1(x))],
  ['silu', (x) => x / (1 + Math.exp(-x))],
  ['softplus', (x) => Math.log1p(Math.exp(x))],
  ['tanh', Math.tanh],
  ['sigmoid', (x) => 1 / (1 + Math.exp(-x))],
];

/** Planes of a channel one by one, channels in one visit, columns of small planes. */
const ACTIVATED: Case[] = ACTIVATIONS.flatMap(([activation, f], k): Case[] => {
  const shape = [
    [3, 9, 31],
    [2, 8, 4, 5],
    [5, 12],
    [3, 2, 17],
  ][k % 4]!;
  const channels = shape[1]!;
  const inner = sizeOf(shape.slice(2));
  const channel = (i: number) => Math.floor(i / inner) % channels;
  const inputs: Input[] = [{ shape }, { shape: [channels] }, { shape: [channels] }];
  const activated = (y: Values): Values => ({ ...y, data: y.data.map(f) });
  return [
    {
      name: `batchNorm ${show(shape)}, ${activation}`,
      ops: ['batch_norm', 'batch_norm_vjp'],
      inputs,
      run: (x, weight, bias) => batchNorm(x, { weight, bias, training: true, activation }),
      reference: (x, weight, bias) =>
        activated(normalised(x, channel, channel, 1e-5, weight, bias)),
      tolerance: NORM_TOLERANCE,
    },
    {
      name: `batchNorm ${show(shape)} from running statistics, ${activation}`,
      ops: ['batch_norm', 'batch_norm_vjp'],
      inputs: [
        ...inputs,
        { shape: [channels], differentiable: false },
        { shape: [channels], range: [0.5, 2], differentiable: false },
      ],
      run: (x, weight, bias, runningMean, runningVar) =>
        batchNorm(x, { runningMean, runningVar, weight, bias, activation }),
      reference: (x, weight, bias, mean, variance) => ({
        shape: x.shape,
        data: x.data.map((v, i) => {
          const c = channel(i);
          const z = (v - mean.data[c]!) / Math.sqrt(variance.data[c]! + 1e-5);
          return f(z * weight.data[c]! + bias.data[c]!);
        }),
      }),
      tolerance: NORM_TOLERANCE,
    },
    {
      name: `groupNorm ${show(shape)}, ${activation}`,
      ops: ['group_norm', 'group_norm_vjp'],
      inputs: inputs.map((input, i) => (i === 0 ? { ...input, range: [1, 5] } : input)),
      run: (x, weight, bias) => groupNorm(x, 1, { weight, bias, activation, eps: 1e-3 }),
      reference: (x, weight, bias) =>
        activated(
          normalised(x, (i) => Math.floor(i / (inner * channels)), channel, 1e-3, weight, bias),
        ),
      tolerance: NORM_TOLERANCE,
    },
  ];
});

const GROUPS: Case[] = [
  { shape: [2, 6, 5, 7], groups: 3 },
  { shape: [3, 4], groups: 2 },
  { shape: [2, 8, 17], groups: 8 },
].flatMap(({ shape, groups }): Case[] => {
  const inner = sizeOf(shape.slice(2));
  const channels = shape[1]!;
  const channel = (i: number) => Math.floor(i / inner) % channels;
  const group = (i: number) => Math.floor(i / ((inner * channels) / groups));
  return [
    {
      name: `groupNorm ${show(shape)} in ${groups}`,
      ops: ['group_norm', 'group_norm_vjp'],
      inputs: [{ shape, range: [3, 5] }],
      run: (x) => groupNorm(x, groups),
      reference: (x) => normalised(x, group, channel, 1e-5),
      tolerance: { float32: 1e-4, float64: 1e-10 },
    },
    {
      name: `groupNorm ${show(shape)} in ${groups}, affine`,
      ops: ['group_norm', 'group_norm_vjp'],
      inputs: [{ shape }, { shape: [channels] }, { shape: [channels] }],
      run: (x, weight, bias) => groupNorm(x, groups, { weight, bias, eps: 1e-2 }),
      reference: (x, weight, bias) => normalised(x, group, channel, 1e-2, weight, bias),
      tolerance: NORM_TOLERANCE,
    },
    ...(inner > 1
      ? [
          {
            name: `instanceNorm ${show(shape)} of ${groups}`,
            ops: ['group_norm', 'group_norm_vjp'],
            inputs: [{ shape }, { shape: [channels] }, { shape: [channels] }],
            run: (x: Tensor, weight: Tensor, bias: Tensor) => instanceNorm(x, { weight, bias }),
            reference: (x: Values, weight: Values, bias: Values) =>
              normalised(x, (i) => Math.floor(i / inner), channel, 1e-5, weight, bias),
            tolerance: NORM_TOLERANCE,
          },
        ]
      : []),
  ];
});

/** Rows that a few vectors hold, rows longer than a visit, and only one of the parameters. */
const ROWS: Case[] = [
  [9, 100],
  [2, 4113],
].flatMap((shape): Case[] => {
  const n = shape[1]!;
  const row = (i: number) => Math.floor(i / n);
  const layer = { ops: ['layer_norm', 'layer_norm_vjp'], tolerance: NORM_TOLERANCE };
  return [
    {
      ...layer,
      name: `layerNorm of rows ${show(shape)}`,
      inputs: [{ shape }, { shape: [n] }, { shape: [n] }],
      run: (x, weight, bias) => layerNorm(x, n, { weight, bias }),
      reference: (x, weight, bias) => normalised(x, row, (i) => i % n, 1e-5, weight, bias),
    },
    {
      ...layer,
      name: `layerNorm of rows ${show(shape)}, weight alone`,
      inputs: [{ shape }, { shape: [n] }],
      run: (x, weight) => layerNorm(x, n, { weight }),
      reference: (x, weight) => normalised(x, row, (i) => i % n, 1e-5, weight),
    },
  ];
});

const EVALUATION: Case = {
  name: 'batchNorm from running statistics',
  ops: ['batch_norm'],
  inputs: [
    { shape: [4, 3, 5] },
    { shape: [3], differentiable: false },
    { shape: [3], range: [0.5, 2], differentiable: false },
  ],
  run: (x, runningMean, runningVar) => batchNorm(x, { runningMean, runningVar }),
  reference: (x, mean, variance) =>
    build(x.shape, (i) => (at(x, i) - mean.data[i[1]!]!) / Math.sqrt(variance.data[i[1]!]! + 1e-5)),
};

export const NORMALIZATION: Case[] = [...NORM, ...ACTIVATED, ...GROUPS, ...ROWS, EVALUATION];
