import { FluxionError, requireArgument, show } from '../errors';

/** Sizes of the dimensions, slowest first (C order). */
export type Shape = readonly number[];

/** As kMaxDims in native/core/tensor_view.h. */
export const MAX_DIMS = 8;

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Throws unless a value is a list of at most 8 sizes; `least` is -1 where a size may be left open. */
export function requireShape(
  op: string,
  shape: unknown,
  least: 0 | -1 = 0,
): asserts shape is Shape {
  const valid = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= least;
  requireArgument(
    Array.isArray(shape) && shape.every(valid),
    op,
    () => `shape must be an array of integers >= ${least}, got ${show(shape)}`,
  );
  if (shape.length > MAX_DIMS) {
    throw new FluxionError(
      'FLUXION_UNSUPPORTED',
      op,
      `shape must have at most ${MAX_DIMS} dimensions, got ${shape.length}`,
    );
  }
}
