import { FluxionError } from '../errors';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp } from './define';

// Sum, expand and reshape are each other's adjoints, and the adjoints of every broadcasting operation.

/** @internal */
export const sumOp = defineOp<{ dims: number[]; keepdim: boolean }>('sum', {
  vjp: ({ g, shape, params }) => [expandReduced(g, shape(0), params.dims, params.keepdim)],
});

/** @internal */
export const expandOp = defineOp<{ shape: readonly number[] }>('expand', {
  vjp: ({ g, shape }) => [sumTo(g, shape(0))],
});

/** @internal */
export const reshapeOp: OpFunction<{ shape: readonly number[] }> = defineOp<{
  shape: readonly number[];
}>('reshape', {
  vjp: ({ g, shape }) => [reshapeOp([g], { shape: shape(0) })],
});

/** Sums a tensor over the axes along which `shape` was broadcast to it: the adjoint of expanding. */
export function sumTo(x: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const extra = x.ndim - shape.length;
  const dims: number[] = [];
  x.shape.forEach((n, i) => {
    if (i < extra || (shape[i - extra] === 1 && n !== 1)) dims.push(i);
  });
  const summed = dims.length > 0 ? sumOp([x], { dims, keepdim: true }) : x;
  return sameShape(summed.shape, shape) ? summed : reshapeOp([summed], { shape });
}

export function expandTo(x: Tensor, shape: readonly number[]): Tensor {
  return sameShape(x.shape, shape) ? x : expandOp([x], { shape });
}

/** The cotangent of a reduction, spread over the axes that were reduced. */
export function expandReduced(
  g: Tensor,
  shape: readonly number[],
  dims: readonly number[],
  keepdim: boolean,
): Tensor {
  const reduced = new Set(dims.length > 0 ? dims : shape.map((_, i) => i));
  const kept = shape.map((n, i) => (reduced.has(i) ? 1 : n));
  return expandTo(keepdim ? g : reshapeOp([g], { shape: kept }), shape);
}

/** The shape two shapes broadcast to, by NumPy's rule. */
export function broadcastShapes(op: string, a: readonly number[], b: readonly number[]): number[] {
  const ndim = Math.max(a.length, b.length);
  return Array.from({ length: ndim }, (_, i) => {
    const m = a[i - ndim + a.length] ?? 1;
    const n = b[i - ndim + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        op,
        `shapes must broadcast, got [${a.join(', ')}] and [${b.join(', ')}]`,
      );
    }
    return m === 1 ? n : m;
  });
}
