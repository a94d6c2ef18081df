import { requireArgument, show } from '../errors';
import { newTypedArray } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { type CreationOptions, tensor } from './creation';

export interface FrequencyOptions extends CreationOptions {
  /** Distance of the sample points, > 0. Default 1. */
  d?: number;
}

const MAX_POINTS = 2 ** 31;

function frequencies(
  op: string,
  n: number,
  options: FrequencyOptions | undefined,
  count: (n: number) => number,
): Tensor {
  requireArgument(
    Number.isInteger(n) && n >= 1 && n <= MAX_POINTS,
    op,
    () => `n must be an integer in [1, 2^31], got ${show(n)}`,
  );
  requireArgument(
    options === undefined || (typeof options === 'object' && options !== null),
    op,
    () => `options must be an object, got ${show(options)}`,
  );
  const { d = 1, ...rest } = options ?? {};
  requireArgument(
    Number.isFinite(d) && d > 0,
    op,
    () => `d must be a finite number > 0, got ${show(d)}`,
  );
  const half = Math.ceil(n / 2);
  const folded = (k: number) => (count(n) === n && k >= half ? k - n : k);
  const values = newTypedArray('float64', count(n), op);
  for (let k = 0; k < values.length; k++) values[k] = folded(k) / (n * d);
  return tensor(values, { dtype: 'float32', ...rest });
}

/**
 * Frequencies of the points of `fft`: 0, 1, ..., -2, -1 over n d, in cycles per unit of d. float32 unless
 * another dtype is given.
 *
 * Errors: FLUXION_INVALID_ARGUMENT for n < 1, d not > 0.
 */
export function fftfreq(n: number, options?: FrequencyOptions): Tensor {
  return frequencies('fftfreq', n, options, (points) => points);
}

/** Frequencies of the points of `rfft`: 0, 1, ..., floor(n / 2) over n d. */
export function rfftfreq(n: number, options?: FrequencyOptions): Tensor {
  return frequencies('rfftfreq', n, options, (points) => Math.floor(points / 2) + 1);
}
