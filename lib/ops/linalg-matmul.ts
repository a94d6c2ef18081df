import { FluxionError, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp, sumTo } from './broadcast';
import { type OpFunction, defineOp, requireTensor, withDefaults } from './define';
import { add } from './elementwise';
import { floating, promoted } from './promote';
import { transpose } from './shape';

// Matrix products. Deterministic: sums are cut by the shapes alone, so results have the same bits for any
// number of threads. Integers are taken as float32.

/** @internal Two floating-point operands of one dtype. */
export function floatingPair(op: string, a: Tensor, b: Tensor): [Tensor, Tensor] {
  requireTensor(op, a, 'first argument');
  requireTensor(op, b, 'second argument');
  return promoted(op, floating(op, a), floating(op, b)) as [Tensor, Tensor];
}

const transposed = (x: Tensor) => transpose(x, -2, -1);

const matmulOp: OpFunction = defineOp('matmul', {
  saveInputs: (_, needs) => [...(needs(1) ? [0] : []), ...(needs(0) ? [1] : [])],
  vjp: ({ g, needs, input, shape }) => [
    needs(0) ? sumTo(matmulOp([g, transposed(input(1))], undefined), shape(0)) : null,
    needs(1) ? sumTo(matmulOp([transposed(input(0)), g], undefined), shape(1)) : null,
  ],
});

/** Operands of at least two dimensions. A batch of matrices times one matrix is one tall product. */
function product(a: Tensor, b: Tensor): Tensor {
  if (a.ndim <= 2 || b.ndim !== 2 || a.shape.at(-1) !== b.shape[0])
    return matmulOp([a, b], undefined);
  const rows = a.shape.slice(0, -1);
  const tall = reshapeOp([a], { shape: [rows.reduce((m, n) => m * n, 1), b.shape[0]!] });
  return reshapeOp([matmulOp([tall, b], undefined)], { shape: [...rows, b.shape[1]!] });
}

/**
 * Matrix product y[.., M, N] = sum_k a[.., M, k] b[.., k, N]; dimensions before the last two broadcast.
 *
 * - An operand of one dimension is a row (a) or a column (b), and that dimension is not in the result.
 * - Transposed and expanded views are read in place.
 * - Gradients in a and b. Cost: 2 M N K flops, forward; twice that backward.
 * - Errors: FLUXION_SHAPE_MISMATCH where the inner sizes differ or the batch sizes do not broadcast.
 *
 * Source: Goto and van de Geijn, ACM TOMS 34 (2008); docs/decisions/0004-own-gemm-microkernel.md.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  const [x, y] = floatingPair('matmul', a, b);
  if (x.ndim === 0 || y.ndim === 0) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'matmul',
      'operands must have at least one dimension, got []',
    );
  }
  const row = x.ndim === 1 ? reshapeOp([x], { shape: [1, x.size] }) : x;
  const column = y.ndim === 1 ? reshapeOp([y], { shape: [y.size, 1] }) : y;
  const result = product(row, column);
  if (row === x && column === y) return result;
  const batch = result.shape.slice(0, -2);
  const kept = [
    ...(row === x ? [result.shape.at(-2)!] : []),
    ...(column === y ? [result.shape.at(-1)!] : []),
  ];
  return reshapeOp([result], { shape: [...batch, ...kept] });
}

/** {@link matmul} of batches of matrices: [B, M, K] times [B, K, N]; nothing broadcasts. */
export function bmm(a: Tensor, b: Tensor): Tensor {
  const [x, y] = floatingPair('bmm', a, b);
  if (x.ndim !== 3 || y.ndim !== 3 || x.shape[0] !== y.shape[0] || x.shape[2] !== y.shape[1]) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'bmm',
      `operands must have shapes [B, M, K] and [B, K, N], got ${show([...x.shape])} and ${show([...y.shape])}`,
    );
  }
  return matmulOp([x, y], undefined);
}

export interface LinearOptions {
  /** [out]. Default none. */
  bias?: Tensor | null;
}

/**
 * y = x W^T + bias: a layer that maps the last dimension.
 *
 * - `x` [.., in]; `weight` [out, in]; `bias` [out]. Returns [.., out].
 * - Gradients in all three. Cost: 2 in out flops a row, forward; twice that backward.
 * - Errors: FLUXION_SHAPE_MISMATCH.
 */
export function linear(x: Tensor, weight: Tensor, options?: LinearOptions): Tensor {
  const { bias } = withDefaults<Required<LinearOptions>>('linear', options, { bias: null });
  const [input, w] = floatingPair('linear', x, weight);
  const fits = w.ndim === 2 && input.ndim > 0 && input.shape.at(-1) === w.shape[1];
  if (!fits || (bias && (bias.ndim !== 1 || bias.shape[0] !== w.shape[0]))) {
    const given = [input, w, ...(bias ? [bias] : [])].map((t) => show([...t.shape])).join(', ');
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'linear',
      `x, weight and bias must have shapes [.., in], [out, in] and [out], got ${given}`,
    );
  }
  const row = input.ndim === 1 ? reshapeOp([input], { shape: [1, input.size] }) : input;
  const y = product(row, transposed(w));
  const shaped = row === input ? y : reshapeOp([y], { shape: [w.shape[0]!] });
  return bias ? add(shaped, bias) : shaped;
}
