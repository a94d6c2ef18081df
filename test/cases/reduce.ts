import {
  type Tensor,
  argmax,
  argmin,
  logSoftmax,
  logsumexp,
  max,
  mean,
  min,
  norm,
  prod,
  softmax,
  std,
  sum,
  variance,
} from '../../lib';
import { type Case, type Input, type Values, at, build, distinct, indicesOf, sizeOf } from './case';

interface Reduced {
  shape: number[];
  dim?: number | number[];
  keepdim?: boolean;
}

// Over rows, columns, both, the middle, everything; few long and many short sums; empty ones.
const REDUCED: Reduced[] = [
  { shape: [17] },
  { shape: [1] },
  { shape: [] },
  { shape: [3, 17], dim: 1 },
  { shape: [17, 3], dim: 0 },
  { shape: [5, 16], dim: -1, keepdim: true },
  { shape: [2, 15, 4], dim: [0, 2] },
  { shape: [2, 5, 33], dim: 1, keepdim: true },
  { shape: [2, 3, 4, 5], dim: [-1, 1] },
  { shape: [4, 0], dim: 0 },
  { shape: [50_001] },
  { shape: [3, 20_000], dim: 1 },
  { shape: [20_000, 3], dim: 0 },
  { shape: [37, 16], dim: 1 },
  { shape: [2, 31, 3, 5], dim: [0, 2, 3] },
  { shape: [21, 2, 64], dim: [-1, -2], keepdim: true },
];

function dimsOf({ shape, dim }: Reduced): Set<number> {
  const dims = dim === undefined ? [...shape.keys()] : [dim].flat();
  return new Set(dims.map((d) => (d < 0 ? d + shape.length : d)));
}

/** Applies f to the values that each element of the result is made from. */
function reduceBy(x: Values, how: Reduced, f: (values: number[]) => number): Values {
  const reduced = dimsOf(how);
  const kept = how.shape.map((n, i) => (reduced.has(i) ? 1 : n));
  const groups = new Map<number, number[]>();
  const strides = kept.map((_, i) => sizeOf(kept.slice(i + 1)));
  for (const index of indicesOf(how.shape)) {
    const place = index.reduce((p, n, i) => p + (reduced.has(i) ? 0 : n * strides[i]!), 0);
    if (!groups.has(place)) groups.set(place, []);
    groups.get(place)!.push(at(x, index));
  }
  const shape = how.keepdim ? kept : how.shape.filter((_, i) => !reduced.has(i));
  const data = Float64Array.from({ length: sizeOf(kept) }, (_, i) => f(groups.get(i) ?? []));
  return { shape, data };
}

type Options = { dim?: number | number[]; keepdim?: boolean };

function reduction(
  name: string,
  ops: string[],
  run: (x: Tensor, options: Options) => Tensor,
  f: (values: number[]) => number,
  {
    input = {},
    keep = () => true,
    ...rest
  }: Partial<Case> & { input?: Partial<Input>; keep?: (r: Reduced) => boolean } = {},
): Case[] {
  return REDUCED.filter(keep).map((how) => ({
    name: `${name} of [${String(how.shape)}] over ${how.dim === undefined ? 'all' : `[${String(how.dim)}]`}${how.keepdim ? ', kept' : ''}`,
    ops,
    inputs: [{ shape: how.shape, ...input }],
    run: (x) => run(x, { dim: how.dim, keepdim: how.keepdim }),
    reference: (x) => reduceBy(x, how, f),
    // The error of a sum goes with the size of its terms, not of the sum.
    tolerance: { float32: 1e-5 * Math.max(1, Math.sqrt(sizeOf(how.shape)) / 30), float64: 1e-11 },
    ...rest,
  }));
}

const total = (v: number[]) => v.reduce((a, b) => a + b, 0);
const average = (v: number[]) => total(v) / v.length;
const spread = (v: number[], correction = 1) =>
  v.reduce((s, x) => s + (x - average(v)) ** 2, 0) / (v.length - correction);
const small = ({ shape }: Reduced) => sizeOf(shape) < 1000 && sizeOf(shape) > 1;
const filled = ({ shape }: Reduced) => sizeOf(shape) > 0;
const singles = ({ dim }: Reduced) => !Array.isArray(dim);

const MOMENTS: Case[] = [
  reduction('sum', ['sum'], sum, total, { linearIn: [0] }),
  reduction('mean', ['mean'], mean, average, { linearIn: [0], keep: small }),
  reduction('variance', ['variance', 'spread'], variance, (v) => spread(v), { keep: small }),
  reduction(
    'variance, correction 0',
    ['variance', 'spread'],
    (x, o) => variance(x, { ...o, correction: 0 }),
    (v) => spread(v, 0),
    { keep: small },
  ),
  reduction('std', ['variance', 'spread'], std, (v) => Math.sqrt(spread(v)), { keep: small }),
  reduction('norm', ['norm'], norm, (v) => Math.sqrt(total(v.map((x) => x * x))), {
    keep: small,
  }),
  reduction(
    'norm, p 1',
    ['norm'],
    (x, o) => norm(x, { ...o, p: 1 }),
    (v) => total(v.map(Math.abs)),
    {
      keep: small,
      input: { generate: distinct },
    },
  ),
  reduction(
    'norm, p Infinity',
    ['norm', 'spread'],
    (x, o) => norm(x, { ...o, p: Infinity }),
    (v) => Math.max(...v.map(Math.abs)),
    {
      keep: small,
      input: { generate: (n, random) => distinct(n, random).map((v, i) => v + i / 999) },
    },
  ),
  reduction(
    'norm, p -Infinity',
    ['norm', 'spread'],
    (x, o) => norm(x, { ...o, p: -Infinity }),
    (v) => Math.min(...v.map(Math.abs)),
    {
      keep: (r) => small(r) && sizeOf(r.shape) < 200,
      input: { generate: (n, random) => distinct(n, random).map((v, i) => v + i / 999) },
    },
  ),
  reduction(
    'norm, p 0',
    ['norm'],
    (x, o) => norm(x, { ...o, p: 0 }),
    (v) => v.filter((x) => x !== 0).length,
    {
      keep: (r) => small(r) && sizeOf(r.shape) < 200,
      input: { generate: distinct },
      gradient: 'zero everywhere',
    },
  ),
  reduction(
    'norm, p 3',
    ['pow'],
    (x, o) => norm(x, { ...o, p: 3 }),
    (v) => Math.cbrt(total(v.map((x) => Math.abs(x) ** 3))),
    { keep: (r) => small(r) && sizeOf(r.shape) < 200, input: { generate: distinct } },
  ),
].flat();

const product = (v: number[]) => v.reduce((a, b) => a * b, 1);
/** Some zeros, one or more to a product. */
const withZeros = (n: number, random: () => number) =>
  Float64Array.from({ length: n }, (_, i) => (i % 13 === 5 ? 0 : 0.5 + random()));

const PRODUCTS: Case[] = [
  reduction('prod', ['prod'], prod, product, { input: { range: [0.5, 1.5] }, keep: small }),
  reduction('prod with zeros', ['prod'], prod, product, {
    input: { generate: withZeros },
    keep: (r) => small(r) && sizeOf(r.shape) < 200,
  }),
  reduction('prod of nothing', ['prod'], prod, product, { keep: (r) => sizeOf(r.shape) === 0 }),
  reduction('prod of int32', ['prod'], prod, product, {
    input: { dtype: 'int32', range: [-2, 3] },
    keep: (r) => sizeOf(r.shape) > 1 && sizeOf(r.shape) < 30,
  }),
].flat();

const reduceMax = (v: number[]) => v.reduce((a, b) => Math.max(a, b), -Infinity);
const reduceMin = (v: number[]) => v.reduce((a, b) => Math.min(a, b), Infinity);
const unlike = { input: { generate: distinct }, keep: filled };
const indices = { keep: (r: Reduced) => filled(r) && singles(r), gradient: 'an int32 result' };

const EXTREMA: Case[] = [
  reduction('max', ['max'], max, reduceMax, unlike),
  reduction('min', ['min'], min, reduceMin, { ...unlike, keep: small }),
  reduction(
    'argmax',
    ['argmax'],
    (x, o) => argmax(x, o as { dim?: number }),
    (v) => v.indexOf(reduceMax(v)),
    indices,
  ),
  reduction(
    'argmin',
    ['argmin'],
    (x, o) => argmin(x, o as { dim?: number }),
    (v) => v.indexOf(reduceMin(v)),
    {
      ...indices,
      keep: (r) => small(r) && singles(r),
    },
  ),
].flat();

const integers = { dtype: 'int32', range: [-50, 50] } as const;
const OF_INTEGERS: Case[] = [
  reduction('sum of int32', ['sum'], sum, total, { input: integers }),
  reduction('sum of uint8', ['sum'], sum, total, {
    input: { dtype: 'uint8', range: [0, 256] },
    keep: small,
  }),
  reduction('max of int32', ['max'], max, reduceMax, { input: integers, keep: small }),
  reduction(
    'argmax of uint8',
    ['argmax'],
    (x, o) => argmax(x, o as { dim?: number }),
    (v) => v.indexOf(reduceMax(v)),
    {
      ...indices,
      input: { dtype: 'uint8', range: [0, 256] },
      keep: (r) => small(r) && singles(r),
    },
  ),
].flat();

function withNaN(n: number, random: () => number): Float64Array {
  return distinct(n, random).map((v, i) => (i % 7 === 3 ? NaN : v));
}
const NAN_CASES: Case[] = [
  reduction('max with NaN', ['max'], max, reduceMax, { keep: small }),
  reduction('min with NaN', ['min'], min, reduceMin, { keep: small }),
  reduction(
    'argmax with NaN',
    ['argmax'],
    (x, o) => argmax(x, o as { dim?: number }),
    (v) => {
      const first = v.findIndex(Number.isNaN);
      return first >= 0 ? first : v.indexOf(reduceMax(v));
    },
    { keep: (r) => small(r) && singles(r) },
  ),
]
  .flat()
  .map((c) => ({
    ...c,
    inputs: c.inputs.map((i) => ({ ...i, generate: withNaN })),
    gradient: 'NaN',
  }));

const logSum = (v: number[]) => {
  const top = reduceMax(v);
  return top + Math.log(total(v.map((x) => Math.exp(x - top))));
};

const AXES: [number[], number][] = [
  [[17], 0],
  [[5, 10], 1],
  [[5, 10], 0],
  [[2, 16, 3], 1],
  [[3, 1], -1],
  [[], 0],
  [[2, 1000], -1],
  [[600, 100], -1],
];

function alongAxis(
  name: string,
  op: string,
  run: (x: Tensor, dim: number) => Tensor,
  f: (value: number, logTotal: number) => number,
): Case[] {
  return AXES.map(([shape, dim]) => ({
    name: `${name} of [${String(shape)}] along ${dim}`,
    ops: [op],
    inputs: [{ shape, range: [-10, 10] }],
    run: (x) => run(x, dim),
    reference: (x) => {
      const totals = reduceBy(
        x,
        { shape, dim: shape.length ? dim : undefined, keepdim: true },
        logSum,
      );
      return build(shape, (i) => f(at(x, i), at(totals, i)));
    },
    bench: [{ shapes: [[4096, 1000]], elements: 2 * 4096 * 1000, flops: 5 * 4096 * 1000 }],
  }));
}

const EXPONENTIALS: Case[] = [
  ...alongAxis('softmax', 'softmax', softmax, (v, logTotal) => Math.exp(v - logTotal)),
  ...alongAxis('logSoftmax', 'log_softmax', logSoftmax, (v, logTotal) => v - logTotal),
  ...reduction(
    'logsumexp',
    ['log_sum_exp', 'spread'],
    (x, { dim = [], ...o }) => logsumexp(x, dim, o),
    logSum,
    {
      keep: small,
      input: { range: [-40, 40] },
    },
  ),
  {
    name: 'logsumexp of infinities',
    ops: ['log_sum_exp'],
    inputs: [{ shape: [3, 2], generate: () => [-Infinity, -Infinity, 1, -Infinity, Infinity, 2] }],
    run: (x) => logsumexp(x, 1),
    reference: () => ({ shape: [3], data: Float64Array.of(-Infinity, 1, Infinity) }),
    gradient: 'not defined at infinity',
  },
];

export const REDUCE: Case[] = [
  ...MOMENTS,
  ...PRODUCTS,
  ...EXTREMA,
  ...OF_INTEGERS,
  ...NAN_CASES,
  ...EXPONENTIALS,
];
