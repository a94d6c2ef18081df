import {
  type DType,
  type Tensor,
  bernoulli,
  dropout,
  manualSeed,
  permutation,
  rand,
  randint,
  randn,
} from '../../lib';
import type { Case } from './case';

// Naive Philox 4x32-10 after Salmon et al. (SC 2011), in BigInt; native/ops/random.h says how its words are used.
const MASK = 0xffffffffn;

function philox(counter: bigint, key: bigint): bigint[] {
  let [a, b, c, d] = [counter & MASK, counter >> 32n, 0n, 0n];
  let [k0, k1] = [key & MASK, key >> 32n];
  for (let round = 0; round < 10; round++) {
    const p = a * 0xd2511f53n;
    const q = c * 0xcd9e8d57n;
    [a, b, c, d] = [(q >> 32n) ^ b ^ k0, q & MASK, (p >> 32n) ^ d ^ k1, p & MASK];
    k0 = (k0 + 0x9e3779b9n) & MASK;
    k1 = (k1 + 0xbb67ae85n) & MASK;
  }
  return [a, b, c, d];
}

const SEED = 2 ** 40 + 12345;

const word32 = (i: number) => philox(BigInt(i >> 2), BigInt(SEED))[i & 3]!;
const word64 = (i: number) => word32(2 * i) | (word32(2 * i + 1) << 32n);

const sequence = (n: number, value: (i: number) => number) =>
  Float64Array.from({ length: n }, (_, i) => value(i));

function uniform32(i: number): number {
  return Number(word32(i) >> 8n) / 2 ** 24;
}
function uniform64(i: number): number {
  return Number(word64(i) >> 11n) / 2 ** 53;
}

/** Box-Muller: cosine for even, sine for odd elements. */
function normal32(i: number): number {
  const pair = i & ~1;
  const u = Math.fround(Math.fround(Number(word32(pair) >> 1n)) / 2 ** 31 + 2 ** -32);
  const bits = word32(pair + 1);
  const quadrant = Number(bits >> 30n);
  const within = Number(BigInt.asIntN(32, bits << 2n)) / 2 ** 31;
  const angle = (quadrant + within / 2) * (Math.PI / 2);
  return Math.sqrt(-2 * Math.log(u)) * (i === pair ? Math.cos(angle) : Math.sin(angle));
}
function normal64(i: number): number {
  const pair = i & ~1;
  const u = (Number(word64(pair) >> 11n) + 1) / 2 ** 53;
  const angle = 2 * Math.PI * uniform64(pair + 1);
  return Math.sqrt(-2 * Math.log(u)) * (i === pair ? Math.cos(angle) : Math.sin(angle));
}

const below = (i: number, n: number) => Number((word64(i) * BigInt(n)) >> 64n);

function shuffled(n: number): Float64Array {
  const order = sequence(n, (i) => i);
  for (let drawn = 0; drawn < n - 1; drawn++) {
    const last = n - 1 - drawn;
    const chosen = below(drawn, last + 1);
    [order[last], order[chosen]] = [order[chosen]!, order[last]!];
  }
  return order;
}

const kept = (p: number) => (i: number) => Number(word32(i) < BigInt(Math.round(p * 2 ** 32)));

/** A draw of n elements; the input says only where it is made. */
function draw(
  name: string,
  op: string,
  shape: number[],
  run: (options: { seed: number; device: string }) => Tensor,
  data: () => Float64Array,
): Case {
  return {
    name,
    ops: [op],
    inputs: [{ shape: [1] }],
    run: (x) => run({ seed: SEED, device: x.device }),
    reference: () => ({ shape, data: data() }),
    tolerance: { float32: 1e-5, float64: 1e-13 },
    gradient: 'a random result does not depend on the input',
  };
}

const floats = (
  dtype: DType,
  uniform: (i: number) => number,
  normal: (i: number) => number,
): Case[] =>
  [1, 7, 64, 1030].flatMap((n) => [
    draw(
      `rand [${n}], ${dtype}`,
      'rand',
      [n],
      (o) => rand([n], { ...o, dtype }),
      () => sequence(n, uniform),
    ),
    draw(
      `randn [${n}], ${dtype}`,
      'randn',
      [n],
      (o) => randn([n], { ...o, dtype }),
      () => sequence(n, normal),
    ),
  ]);

export const RANDOM: Case[] = [
  ...floats('float32', uniform32, normal32),
  ...floats('float64', uniform64, normal64),
  draw(
    'rand [0, 3]',
    'rand',
    [0, 3],
    (o) => rand([0, 3], o),
    () => new Float64Array(0),
  ),
  draw(
    'randint',
    'randint',
    [5, 7],
    (o) => randint(-3, 9, [5, 7], o),
    () => sequence(35, (i) => below(i, 12) - 3),
  ),
  draw(
    'randint of uint8',
    'randint',
    [40],
    (o) => randint(0, 256, [40], { ...o, dtype: 'uint8' }),
    () => sequence(40, (i) => below(i, 256)),
  ),
  draw(
    'bernoulli',
    'bernoulli',
    [40],
    (o) => bernoulli(0.3, [40], o),
    () => sequence(40, kept(0.3)),
  ),
  draw(
    'bernoulli of 0 and 1',
    'bernoulli',
    [5],
    (o) => bernoulli(1, [5], o).sub(bernoulli(0, [5], o)),
    () => sequence(5, () => 1),
  ),
  draw(
    'permutation',
    'permutation',
    [101],
    (o) => permutation(101, o),
    () => shuffled(101),
  ),
  draw(
    'permutation of 1',
    'permutation',
    [1],
    (o) => permutation(1, o),
    () => shuffled(1),
  ),
  {
    name: 'dropout',
    ops: ['bernoulli', 'mul'],
    inputs: [{ shape: [3, 17] }],
    run: (x) => {
      manualSeed(SEED);
      return dropout(x, { p: 0.25 });
    },
    reference: ({ shape, data }) => ({
      shape,
      data: data.map((v, i) => (v * kept(0.75)(i)) / 0.75),
    }),
    linearIn: [0],
  },
];
