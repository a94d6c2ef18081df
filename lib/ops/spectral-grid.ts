import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { axisOf, listOf } from './define';

// What the options of Fourier, cosine and sine transforms mean.

/**
 * Where the factor 1/N stands: 'backward' in the inverse, 'forward' in the forward transform, 'ortho' the
 * square root of it in both.
 */
export type FourierNorm = 'backward' | 'ortho' | 'forward';

/** The norm's factor of a transform of `points` points in all. */
export function normFactor(op: string, norm: unknown, points: number, inverse: boolean): number {
  requireArgument(
    norm === 'backward' || norm === 'ortho' || norm === 'forward',
    op,
    () => `norm must be one of 'backward', 'ortho', 'forward', got ${show(norm)}`,
  );
  if (norm === 'ortho') return 1 / Math.sqrt(points);
  return (norm === 'backward') === inverse ? 1 / points : 1;
}

/** The dimensions of a transform and the points along each, checked. */
export function transformGrid(
  op: string,
  x: Tensor,
  s: readonly number[] | undefined,
  dim: readonly number[] | undefined,
  sizeOf: (d: number, isLast: boolean) => number = (d) => x.shape[d]!,
): { dims: number[]; lengths: number[] } {
  if (s !== undefined) s = listOf(op, 's', s);
  const chosen =
    dim !== undefined
      ? listOf(op, 'dim', dim)
      : Array.from({ length: s?.length ?? x.ndim }, (_, i) => i - (s?.length ?? x.ndim));
  requireArgument(
    chosen.length > 0 && x.ndim > 0,
    op,
    () => `input must have a dimension to transform, got shape ${show([...x.shape])}`,
  );
  const dims = chosen.map((d) => axisOf(op, d, x.ndim));
  requireArgument(
    new Set(dims).size === dims.length,
    op,
    () => `dim must name different dimensions, got ${show([...chosen])}`,
  );
  requireArgument(
    s === undefined || s.length === dims.length,
    op,
    () => `s must have ${dims.length} elements as dim, got ${show([...s!])}`,
  );
  const lengths = dims.map((d, i) => s?.[i] ?? sizeOf(d, i === dims.length - 1));
  for (const n of lengths) {
    requireArgument(
      Number.isInteger(n) && n >= 1,
      op,
      () => `the number of points must be an integer >= 1, got ${show(n)}`,
    );
  }
  return { dims, lengths };
}
