import { requireArgument, show } from '../errors';
import type { DType } from '../tensor/dtype';
import { type GeneratorState, takeBlocks } from '../tensor/generator';
import { onDevice } from '../tensor/handle';
import { opNumber } from '../tensor/op-table';
import { runRefreshed } from '../tensor/recording';
import { checkCreation } from '../tensor/runtime';
import { requireShape, sizeOf } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp, withDefaults } from './define';
import { mul } from './elementwise';
import { cast, floating } from './promote';
import type { CreationOptions } from './creation';

// Philox 4x32-10, a counter-based generator: element i depends on the seed, the number of the draw and i alone,
// so every draw is reproducible and has the same bits on any number of threads. Without the option `seed` the
// draws follow each other from manualSeed(); with it a draw stands alone and the common state stays as it was.

export interface RandomOptions extends CreationOptions {
  /** An integer in [0, 2^53): draws from a state of its own. Default: the state that manualSeed() sets. */
  seed?: number;
}

interface Draw {
  /** The place in the stream: another one at each call, in a captured step at each replay. */
  next: () => GeneratorState;
  dtype: DType;
  device: number;
  requiresGrad: boolean;
}

function draw(op: string, n: number, options: RandomOptions | undefined, dtype: DType): Draw {
  const given = withDefaults<Required<CreationOptions> & { seed: number | null }>(op, options, {
    dtype,
    device: 'cpu',
    requiresGrad: false,
    seed: null,
  });
  const device = checkCreation(op, given);
  const { seed } = given;
  requireArgument(
    seed === null || (Number.isSafeInteger(seed) && seed >= 0),
    op,
    () => `seed must be an integer in [0, 2^53), got ${show(seed)}`,
  );
  const { dtype: as, requiresGrad } = given;
  const next = () => (seed === null ? takeBlocks(n) : { seed, offset: 0 });
  return { next, dtype: as, device, requiresGrad };
}

type DrawParams<P> = P & GeneratorState & { shape: readonly number[]; dtype: DType };

/** Runs an op that fills a shape. */
function drawn<P extends object>(
  op: string,
  run: OpFunction<DrawParams<P>>,
  params: P,
  shape: readonly number[],
  options: RandomOptions | undefined,
  dtype: DType = 'float32',
): Tensor {
  requireShape(op, shape);
  const { requiresGrad, device, next, dtype: as } = draw(op, sizeOf(shape), options, dtype);
  const fresh = (): DrawParams<P> => ({ ...params, ...next(), shape, dtype: as });
  const tensor = onDevice(device, () => runRefreshed(opNumber(op), fresh, (p) => run([], p)));
  tensor.requiresGrad = requiresGrad;
  return tensor;
}

const uniformOp = defineOp<DrawParams<{ low: number; high: number }>>('rand', {});
const normalOp = defineOp<DrawParams<{ mean: number; std: number }>>('randn', {});
const integerOp = defineOp<DrawParams<{ low: number; high: number }>>('randint', {});
const bernoulliOp = defineOp<DrawParams<{ p: number }>>('bernoulli', {});
const permutationOp = defineOp<{ n: number } & GeneratorState>('permutation', {});

/** Uniform random numbers in [0, 1). */
export function rand(shape: readonly number[], options?: RandomOptions): Tensor {
  return drawn('rand', uniformOp, { low: 0, high: 1 }, shape, options);
}

/** Normal random numbers of mean 0 and variance 1 (Box-Muller). */
export function randn(shape: readonly number[], options?: RandomOptions): Tensor {
  return drawn('randn', normalOp, { mean: 0, std: 1 }, shape, options);
}

/** Random integers in [low, high), int32 unless another dtype is given. */
export function randint(
  low: number,
  high: number,
  shape: readonly number[],
  options?: RandomOptions,
): Tensor {
  return drawn('randint', integerOp, { low, high }, shape, options, 'int32');
}

/** 1 with probability p, else 0. */
export function bernoulli(p: number, shape: readonly number[], options?: RandomOptions): Tensor {
  return drawn('bernoulli', bernoulliOp, { p }, shape, options);
}

/** The integers 0 to n - 1 in random order, int32 unless another dtype is given. */
export function permutation(n: number, options?: RandomOptions): Tensor {
  requireArgument(
    Number.isInteger(n) && n >= 0,
    'permutation',
    () => `n must be an integer >= 0, got ${show(n)}`,
  );
  const { dtype, device, requiresGrad, next } = draw('permutation', n, options, 'int32');
  const fresh = () => ({ n, ...next() });
  const order = onDevice(device, () =>
    runRefreshed(opNumber('permutation'), fresh, (p) => permutationOp([], p)),
  );
  const tensor = cast(order, dtype);
  if (tensor !== order) order.dispose();
  tensor.requiresGrad = requiresGrad;
  return tensor;
}

export interface DropoutOptions {
  /** Probability with which an element becomes 0, in [0, 1]. Default 0.5. */
  p?: number;
  /** Default true; with false x is returned as it is. */
  training?: boolean;
}

/**
 * Sets elements to 0 with probability p and divides the others by 1 - p, so that the expectation stays.
 * Integers are taken as float32. Differentiable in x. Random: see manualSeed.
 */
export function dropout(x: Tensor, options?: DropoutOptions): Tensor {
  const input = floating('dropout', x);
  const { p, training } = withDefaults('dropout', options, { p: 0.5, training: true });
  requireArgument(p >= 0 && p <= 1, 'dropout', () => `p must be in [0, 1], got ${show(p)}`);
  if (!training || p === 0) return input;
  if (p === 1) return mul(input, 0);
  const kept = bernoulli(1 - p, input.shape, { dtype: input.dtype, device: input.device });
  return mul(input, mul(kept, 1 / (1 - p)));
}
