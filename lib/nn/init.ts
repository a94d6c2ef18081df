import { FluxionError, requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import { toTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { rand, randn } from '../ops/random';
import { full } from '../ops/creation';
import { withDefaults } from '../ops/define';
import { add, mul } from '../ops/elementwise';

// The public initialisers, `nn.init`, give a tensor new values in place, drawn from the generator that
// manualSeed() sets, and return it. Names, defaults and distributions are PyTorch's (torch.nn.init).

function requireFloat(op: string, x: unknown): asserts x is Tensor {
  requireArgument(
    isTensor(x) && (x.dtype === 'float32' || x.dtype === 'float64') && x.isLeaf,
    op,
    () => `argument 0 must be a floating-point tensor that no operation made, got ${show(x)}`,
  );
}

function requireFinite(op: string, values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values)) {
    requireArgument(
      Number.isFinite(value),
      op,
      () => `${name} must be a finite number, got ${show(value)}`,
    );
  }
}

/** Replaces the values of a tensor by those of another. */
function fill(x: Tensor, values: () => Tensor): Tensor {
  noGrad(() => tidy(() => assign(x, values())));
  return x;
}

/** Replaces the values of a tensor by numbers. */
function fillWith(x: Tensor, values: ArrayLike<number>): Tensor {
  return fill(
    x,
    () =>
      new Tensor(upload(toTypedArray(x.dtype, values), x.dtype, x.shape, x.live('init').device)),
  );
}

function drawUniform(x: Tensor, low: number, high: number): Tensor {
  return fill(x, () =>
    add(mul(rand(x.shape, { dtype: x.dtype, device: x.device }), high - low), low),
  );
}

function drawNormal(x: Tensor, mean: number, std: number): Tensor {
  return fill(x, () => add(mul(randn(x.shape, { dtype: x.dtype, device: x.device }), std), mean));
}

/** Uniform in [a, b); default [0, 1). */
export function uniform(x: Tensor, options?: { a?: number; b?: number }): Tensor {
  requireFloat('uniform', x);
  const { a, b } = withDefaults('uniform', options, { a: 0, b: 1 });
  requireFinite('uniform', { a, b });
  requireArgument(a <= b, 'uniform', () => `b must be >= a, got ${a} and ${b}`);
  return drawUniform(x, a, b);
}

/** Normal; default mean 0 and standard deviation 1. */
export function normal(x: Tensor, options?: { mean?: number; std?: number }): Tensor {
  requireFloat('normal', x);
  const { mean, std } = withDefaults('normal', options, { mean: 0, std: 1 });
  requireFinite('normal', { mean, std });
  requireArgument(std >= 0, 'normal', () => `std must be >= 0, got ${std}`);
  return drawNormal(x, mean, std);
}

/** One value everywhere. */
export function constant(x: Tensor, value: number): Tensor {
  requireFloat('constant', x);
  requireFinite('constant', { value });
  return fill(x, () => full(x.shape, value, { dtype: x.dtype, device: x.device }));
}

/** 0 everywhere. */
export function zeros(x: Tensor): Tensor {
  requireFloat('zeros', x);
  return constant(x, 0);
}

/** 1 everywhere. */
export function ones(x: Tensor): Tensor {
  requireFloat('ones', x);
  return constant(x, 1);
}

function requireDimensions(op: string, x: Tensor, least: number, most: number): void {
  if (x.ndim >= least && x.ndim <= most) return;
  const range =
    least === most ? `${least}` : most === Infinity ? `>= ${least}` : `${least} to ${most}`;
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    op,
    `tensor must have ${range} dimensions, got shape ${show([...x.shape])}`,
  );
}

/** The identity matrix. */
export function eye(x: Tensor): Tensor {
  requireFloat('eye', x);
  requireDimensions('eye', x, 2, 2);
  const [rows, columns] = x.shape as [number, number];
  const values = new Float64Array(rows * columns);
  for (let i = 0; i < Math.min(rows, columns); i++) values[i * (columns + 1)] = 1;
  return fillWith(x, values);
}

/**
 * The weight of a convolution that returns its input channels: 1 at the centre of kernel (i, i), in each of
 * `groups`. For weights of convolutions, [outputs, inputs / groups, ...], of 1 to 3 dimensions.
 */
export function dirac(x: Tensor, options?: { groups?: number }): Tensor {
  requireFloat('dirac', x);
  requireDimensions('dirac', x, 3, 5);
  const { groups } = withDefaults('dirac', options, { groups: 1 });
  const [outputs, inputs, ...kernel] = x.shape as [number, number, ...number[]];
  requireArgument(
    Number.isInteger(groups) && groups > 0 && outputs % groups === 0,
    'dirac',
    () => `groups must divide the ${outputs} outputs, got ${show(groups)}`,
  );
  const taps = kernel.reduce((a, b) => a * b, 1);
  const centre = kernel.reduce((at, n) => at * n + Math.floor(n / 2), 0);
  const each = outputs / groups;
  const values = new Float64Array(x.size);
  for (let g = 0; g < groups; g++) {
    for (let i = 0; i < Math.min(each, inputs); i++) {
      values[((g * each + i) * inputs + i) * taps + centre] = 1;
    }
  }
  return fillWith(x, values);
}

// ---------------------------------------------------------------------------------------------------
// Scaled by the sizes of a layer

/** Inputs and outputs of one unit of a weight [outputs, inputs, kernel...]. */
function fans(op: string, x: Tensor): { fanIn: number; fanOut: number } {
  requireDimensions(op, x, 2, Infinity);
  const [outputs, inputs, ...kernel] = x.shape as [number, number, ...number[]];
  const taps = kernel.reduce((a, b) => a * b, 1);
  return { fanIn: inputs * taps, fanOut: outputs * taps };
}

const GAINS: Record<string, (param?: number) => number> = {
  linear: () => 1,
  conv1d: () => 1,
  conv2d: () => 1,
  conv3d: () => 1,
  conv_transpose1d: () => 1,
  conv_transpose2d: () => 1,
  conv_transpose3d: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.SQRT2,
  leaky_relu: (slope = 0.01) => Math.sqrt(2 / (1 + slope ** 2)),
  selu: () => 3 / 4,
};

/** leaky_relu and leakyRelu are the same. */
function gainOf(op: string, nonlinearity: string, param?: number): number {
  const name = String(nonlinearity).replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
  requireArgument(
    Object.hasOwn(GAINS, name),
    op,
    () => `nonlinearity must be one of ${Object.keys(GAINS).join(', ')}, got ${show(nonlinearity)}`,
  );
  return GAINS[name]!(param);
}

/**
 * The factor by which the standard deviation of weights before a nonlinearity is raised: 5/3 for 'tanh',
 * sqrt(2) for 'relu', sqrt(2 / (1 + slope^2)) for 'leaky_relu' with `param` its slope (default 0.01), 3/4
 * for 'selu', else 1.
 */
export function calculateGain(nonlinearity: string, options?: { param?: number }): number {
  const { param } = withDefaults<{ param: number | undefined }>('calculateGain', options, {
    param: undefined,
  });
  if (param !== undefined) requireFinite('calculateGain', { param });
  return gainOf('calculateGain', nonlinearity, param);
}

function xavierStd(op: string, x: Tensor, options: { gain?: number } | undefined): number {
  requireFloat(op, x);
  const { gain } = withDefaults(op, options, { gain: 1 });
  requireFinite(op, { gain });
  const { fanIn, fanOut } = fans(op, x);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
}

/**
 * Uniform in [-b, b), b = gain sqrt(6 / (fanIn + fanOut)).
 *
 * Source: Glorot and Bengio, AISTATS 2010.
 */
export function xavierUniform(x: Tensor, options?: { gain?: number }): Tensor {
  const bound = Math.sqrt(3) * xavierStd('xavierUniform', x, options);
  return drawUniform(x, -bound, bound);
}

/** Normal, of standard deviation gain sqrt(2 / (fanIn + fanOut)). */
export function xavierNormal(x: Tensor, options?: { gain?: number }): Tensor {
  return drawNormal(x, 0, xavierStd('xavierNormal', x, options));
}

export interface KaimingOptions {
  /** Slope below 0 of 'leaky_relu'. Default 0. */
  a?: number;
  /** Keeps the variance of the forward ('fan_in') or the backward pass. Default 'fan_in'. */
  mode?: 'fan_in' | 'fan_out';
  /** As {@link calculateGain}. Default 'leaky_relu'. */
  nonlinearity?: string;
}

function kaimingStd(op: string, x: Tensor, options: KaimingOptions | undefined): number {
  requireFloat(op, x);
  const { a, mode, nonlinearity } = withDefaults<Required<KaimingOptions>>(op, options, {
    a: 0,
    mode: 'fan_in',
    nonlinearity: 'leaky_relu',
  });
  requireFinite(op, { a });
  requireArgument(
    mode === 'fan_in' || mode === 'fan_out',
    op,
    () => `mode must be 'fan_in' or 'fan_out', got ${show(mode)}`,
  );
  const { fanIn, fanOut } = fans(op, x);
  return gainOf(op, nonlinearity, a) / Math.sqrt(mode === 'fan_in' ? fanIn : fanOut);
}

/**
 * Uniform in [-b, b), b = gain sqrt(3 / fan).
 *
 * Source: He, Zhang, Ren and Sun, arXiv:1502.01852.
 */
export function kaimingUniform(x: Tensor, options?: KaimingOptions): Tensor {
  const bound = Math.sqrt(3) * kaimingStd('kaimingUniform', x, options);
  return x.size === 0 ? x : drawUniform(x, -bound, bound);
}

/** Normal, of standard deviation gain / sqrt(fan). */
export function kaimingNormal(x: Tensor, options?: KaimingOptions): Tensor {
  const std = kaimingStd('kaimingNormal', x, options);
  return x.size === 0 ? x : drawNormal(x, 0, std);
}

// ---------------------------------------------------------------------------------------------------
// Drawn on the host: these wait for the queue

/** Numbers of the common generator, drawn in blocks. */
function* hostDraws(draw: (shape: number[]) => Tensor, block: number): Generator<number> {
  for (;;) {
    const drawn = noGrad(() => draw([block]));
    const values = drawn.dataSync();
    drawn.dispose();
    yield* values;
  }
}

/**
 * Normal, of mean and std, drawn again where it falls outside [a, b]; default mean 0, std 1, [-2, 2]. Waits
 * for the values: it blocks the calling thread.
 */
export function truncNormal(
  x: Tensor,
  options?: { mean?: number; std?: number; a?: number; b?: number },
): Tensor {
  const op = 'truncNormal';
  requireFloat(op, x);
  const { mean, std, a, b } = withDefaults(op, options, { mean: 0, std: 1, a: -2, b: 2 });
  requireFinite(op, { mean, std, a, b });
  requireArgument(std > 0, op, () => `std must be > 0, got ${std}`);
  requireArgument(a < b, op, () => `b must be > a, got ${a} and ${b}`);
  const [low, high] = [(a - mean) / std, (b - mean) / std];
  const near = low > 0 ? low : high < 0 ? high : 0; // where the density is highest
  const values = new Float64Array(x.size);
  const block = Math.max(16, 2 * x.size);
  // A wide interval round the mean takes most normal draws; of another one points are proposed uniformly,
  // over the part that holds all but e^-40 of its mass.
  if (near === 0 && high - low > Math.sqrt(2 * Math.PI)) {
    const draws = hostDraws((shape) => randn(shape, { dtype: 'float64' }), block);
    const next = (): number => {
      for (;;) {
        const z = draws.next().value as number;
        if (z >= low && z <= high) return z;
      }
    };
    for (let i = 0; i < values.length; i++) values[i] = mean + std * next();
  } else {
    const reach = 40 / Math.max(Math.abs(near), 1);
    const [from, to] = [Math.max(low, near - reach), Math.min(high, near + reach)];
    const draws = hostDraws((shape) => rand(shape, { dtype: 'float64' }), block);
    const uniformDraw = () => draws.next().value as number;
    const next = (): number => {
      for (;;) {
        const z = from + (to - from) * uniformDraw();
        if (uniformDraw() <= Math.exp((near * near - z * z) / 2)) return z;
      }
    };
    for (let i = 0; i < values.length; i++) values[i] = mean + std * next();
  }
  return fillWith(
    x,
    values.map((v) => Math.min(Math.max(v, a), b)),
  );
}

/** Orthonormal rows of a matrix with at most as many rows as columns, by Gram-Schmidt done twice. */
function orthonormalize(matrix: Float64Array, rows: number, columns: number): void {
  for (let i = 0; i < rows; i++) {
    const row = matrix.subarray(i * columns, (i + 1) * columns);
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < i; k++) {
        const other = matrix.subarray(k * columns, (k + 1) * columns);
        let product = 0;
        for (let j = 0; j < columns; j++) product += row[j]! * other[j]!;
        for (let j = 0; j < columns; j++) row[j]! -= product * other[j]!;
      }
    }
    let norm = 0;
    for (let j = 0; j < columns; j++) norm += row[j]! ** 2;
    for (let j = 0; j < columns; j++) row[j]! /= Math.sqrt(norm);
  }
}

/**
 * gain times a random matrix with orthonormal rows, or columns where it has more rows; dimensions after the
 * first count as one. Uniformly distributed among such matrices: the Q of a QR decomposition of a normal
 * matrix, R with a positive diagonal. Waits for the values: it blocks the calling thread.
 *
 * Source: Saxe, McClelland and Ganguli, arXiv:1312.6120.
 */
export function orthogonal(x: Tensor, options?: { gain?: number }): Tensor {
  requireFloat('orthogonal', x);
  requireDimensions('orthogonal', x, 2, Infinity);
  const { gain } = withDefaults('orthogonal', options, { gain: 1 });
  requireFinite('orthogonal', { gain });
  if (x.size === 0) return x;
  const rows = x.shape[0]!;
  const columns = x.size / rows;
  const [short, long] = [Math.min(rows, columns), Math.max(rows, columns)];
  const drawn = noGrad(() => randn([short, long], { dtype: 'float64' }));
  const matrix = drawn.dataSync() as Float64Array;
  drawn.dispose();
  orthonormalize(matrix, short, long);
  const values = Float64Array.from(matrix, (_, i) =>
    rows <= columns
      ? gain * matrix[i]!
      : gain * matrix[(i % columns) * long + Math.floor(i / columns)]!,
  );
  return fillWith(x, values);
}
