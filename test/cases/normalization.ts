import { batchNorm, layerNorm } from '../../lib';
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

const EVALUATION: Case = {
  name: 'batchNorm from running statistics',
  ops: [],
  inputs: [
    { shape: [4, 3, 5] },
    { shape: [3], differentiable: false },
    { shape: [3], range: [0.5, 2], differentiable: false },
  ],
  run: (x, runningMean, runningVar) => batchNorm(x, { runningMean, runningVar }),
  reference: (x, mean, variance) =>
    build(x.shape, (i) => (at(x, i) - mean.data[i[1]!]!) / Math.sqrt(variance.data[i[1]!]! + 1e-5)),
};

export const NORMALIZATION: Case[] = [...NORM, EVALUATION];
