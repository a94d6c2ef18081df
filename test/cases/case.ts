// What a row of a case table says. The tables drive five suites: forward (against a naive float64 reference),
// gradient (central differences), parity (CPU and CUDA), coverage, and the benchmark.
import { type DType, type Tensor, tensor } from '../../lib';

/** A tensor of the reference: row-major values in float64. */
export interface Values {
  shape: readonly number[];
  data: Float64Array;
}

export interface Input {
  shape: readonly number[];
  /** Default: the floating dtype of the run. */
  dtype?: 'int32' | 'uint8';
  /** Interval of the random values, [low, high) (integers: whole numbers). Default [-2, 2). */
  range?: readonly [number, number];
  /** The values, in place of random ones from the range. */
  generate?: (size: number, random: () => number) => ArrayLike<number>;
  /** Whether the gradient in it is checked. Default: it is floating-point. */
  differentiable?: boolean;
}

export interface Bench {
  /** Shapes of the inputs, in their order. */
  shapes: readonly (readonly number[])[];
  /** Elements that an ideal kernel reads and writes. */
  elements: number;
  flops: number;
}

export interface Case {
  name: string;
  /** Ids of the ops that it is about, as in native/ops/ops.def. */
  ops: readonly string[];
  inputs: readonly Input[];
  run: (...inputs: Tensor[]) => Tensor;
  reference: (...inputs: Values[]) => Values;
  /** Largest |difference| / max(1, |expected|). Default 2e-6 and 1e-12. */
  tolerance?: { float32?: number; float64?: number };
  /** Why the gradient is not checked. */
  gradient?: string;
  /** Positions of inputs in which the result is linear: the adjoint identity is checked to 1e-12. */
  linearIn?: readonly number[];
  bench?: readonly Bench[];
}

export type Layout = 'contiguous' | 'strided';

const TOLERANCE = { float32: 2e-6, float64: 1e-12 };

/** Seed of all test data: FLUXION_TEST_SEED in the environment, or always the same. */
export const SEED = Number(process.env.FLUXION_TEST_SEED ?? 20240229);

/** mulberry32: numbers in [0, 1). */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** n numbers in [low, high) that float32 holds exactly. */
export function randomFloats(n: number, seed: number, low = -1, high = 1): Float64Array {
  const random = randomStream(seed);
  return Float64Array.from({ length: n }, () => Math.fround(low + (high - low) * random()));
}

/** Numbers that differ by at least 1/8 from each other and from 0: no ties and kinks within a difference. */
export function distinct(size: number, random: () => number): Float64Array {
  const values = Float64Array.from(
    { length: size },
    (_, i) => (i - Math.floor(size / 2) + 0.5) / 4,
  );
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
  return values;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function hash(text: string): number {
  let h = SEED;
  for (const c of text) h = Math.imul(h ^ c.charCodeAt(0), 16777619);
  return h >>> 0;
}

const known = new WeakMap<Case, Values[]>();

/** The values of a case's inputs; always the same for one seed. */
export function inputValues(c: Case): Values[] {
  if (!known.has(c)) known.set(c, drawValues(c));
  return known.get(c)!;
}

function drawValues(c: Case): Values[] {
  return c.inputs.map(({ shape, dtype, range: [low, high] = [-2, 2], generate }, i) => {
    const size = sizeOf(shape);
    const random = randomStream(hash(`${c.name} ${i}`));
    if (generate) return { shape, data: Float64Array.from(generate(size, random)) };
    const draw = () => low + (high - low) * random();
    const data = Float64Array.from({ length: size }, () =>
      dtype ? Math.floor(draw()) : Math.fround(draw()),
    );
    return { shape, data };
  });
}

/** A view on a larger tensor: dimensions reversed, an offset, and every second element of the last one. */
function stridedView(values: Values, dtype: DType): Tensor {
  const { shape, data } = values;
  const last = shape.length - 1;
  if (last < 0) return tensor(Float64Array.of(7, data[0]!, 7), { dtype }).select(0, 1);
  const padded = shape.map((n, i) => (i === last ? 2 * n + 1 : n + 2)).reverse();
  const base = new Float64Array(sizeOf(padded)).fill(7);
  const index = shape.map(() => 0);
  for (const value of data) {
    let at = 0;
    for (let i = last; i >= 0; i--) {
      at = at * padded[last - i]! + 1 + (i === last ? 2 : 1) * index[i]!;
    }
    base[at] = value;
    for (let i = last; i >= 0 && ++index[i]! === shape[i]; i--) index[i] = 0;
  }
  const full = tensor(base, { shape: padded, dtype }).permute(shape.map((_, i) => last - i));
  return shape.reduce(
    (t, n, i) => (i === last ? t.slice(i, 1, 1 + 2 * n, 2) : t.slice(i, 1, 1 + n)),
    full,
  );
}

/** The inputs of a case as tensors. */
export function inputTensors(
  c: Case,
  dtype: 'float32' | 'float64',
  layout: Layout = 'contiguous',
  device = 'cpu',
): Tensor[] {
  return inputValues(c).map((values, i) => {
    const as = c.inputs[i]!.dtype ?? dtype;
    if (layout === 'strided') return stridedView(values, as);
    return tensor(values.data, { shape: values.shape, dtype: as, device });
  });
}

/** Positions of the inputs in which the gradient is checked. */
export function differentiableInputs(c: Case): number[] {
  if (c.gradient !== undefined) return [];
  return [...c.inputs.keys()].filter((i) => {
    const { dtype, differentiable } = c.inputs[i]!;
    return differentiable ?? dtype === undefined;
  });
}

export function toleranceOf(c: Case, dtype: 'float32' | 'float64'): number {
  return c.tolerance?.[dtype] ?? TOLERANCE[dtype];
}

/** Throws unless every value is within tolerance * max(1, |expected|); NaN and infinities must be equal. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  label: string,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${label}: ${actual.length} values, expected ${expected.length}`);
  }
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (Object.is(a, e) || a === e || Math.abs(a - e) <= tolerance * Math.max(1, Math.abs(e)))
      continue;
    throw new Error(
      `${label}: value ${i} is ${a}, expected ${e} within ${tolerance} (seed ${SEED})`,
    );
  }
}

// --- Pieces of naive references

/** All indices of a shape, in row-major order; the array is reused. */
export function* indicesOf(shape: readonly number[]): Generator<number[]> {
  const index = shape.map(() => 0);
  for (let left = sizeOf(shape); left > 0; left--) {
    yield index;
    for (let i = shape.length - 1; i >= 0 && ++index[i]! === shape[i]; i--) index[i] = 0;
  }
}

/** The element at an index, which may lack leading dimensions; dimensions of size 1 broadcast. */
export function at({ shape, data }: Values, index: readonly number[]): number {
  const skip = index.length - shape.length;
  let position = 0;
  shape.forEach((n, i) => (position = position * n + (n === 1 ? 0 : index[skip + i]!)));
  return data[position]!;
}

/** A tensor given by a function of the index. */
export function build(
  shape: readonly number[],
  value: (index: readonly number[]) => number,
): Values {
  const data = new Float64Array(sizeOf(shape));
  let i = 0;
  for (const index of indicesOf(shape)) data[i++] = value(index);
  return { shape, data };
}

export const show = (value: unknown): string => JSON.stringify(value);

export const sumOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Tolerances of sums of a few hundred float32 products, around the register tiles with tails. */
export const SUMS = { float32: 2e-5, float64: 1e-12 };

export type Window = [number, number];

/** A size given as one number or as [height, width]. */
export const windowOf = (
  size: number | readonly [number, number] | null | undefined,
  fallback: Window,
): Window =>
  size === undefined || size === null
    ? fallback
    : typeof size === 'number'
      ? [size, size]
      : [...size];
