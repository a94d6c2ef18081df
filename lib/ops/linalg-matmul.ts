import { FluxionError, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { sameShape } from '../tensor/shape';
import { reshapeOp, sumOp, sumTo } from './broadcast';
import { type OpFunction, defineOp, requireTensor, withDefaults } from './define';
import {
  type EpilogueActivation,
  type EpilogueOptions,
  epilogueOf,
  throughActivation,
  withActivation,
} from './linalg-epilogue';
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

// With an epilogue; x is a matrix.
const linearOp = defineOp<{ activation: EpilogueActivation }>('linear', {
  optionalFrom: 2,
  saveInputs: (_, needs) => [...(needs(1) ? [0] : []), ...(needs(0) ? [1] : [])],
  saveOutputs: ({ activation }) => (activation === 'none' ? [] : [0]),
  vjp: ({ g: ofResult, needs, input, output, params }) => {
    const g = throughActivation(params.activation, ofResult, () => output(0));
    return [
      needs(0) ? matmulOp([g, input(1)], undefined) : null,
      needs(1) ? matmulOp([transposed(g), input(0)], undefined) : null,
      needs(2) ? sumOp([g], { dims: [0], keepdim: false }) : null,
      needs(3) ? g : null,
    ];
  },
});

export type LinearOptions = EpilogueOptions;

/**
 * y = act(x W^T + bias + residual): a layer that maps the last dimension.
 *
 * - `x` [.., in]; `weight` [out, in]; `bias` [out]; `residual` [.., out]. Returns [.., out].
 * - Bias, `residual` and `activation` (extensions of PyTorch's signature) are done as the sums are stored.
 * - Gradients in all four (silu and gelu: of the first order). Cost: 2 in out flops a row, forward; twice
 *   that backward.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH; FLUXION_INVALID_ARGUMENT for an unknown activation.
 */
export function linear(x: Tensor, weight: Tensor, options?: LinearOptions): Tensor {
  const op = 'linear';
  const [input, w] = floatingPair(op, x, weight);
  const { bias, residual, activation } = epilogueOf(
    op,
    input,
    withDefaults<Required<LinearOptions>>(op, options, {
      bias: null,
      residual: null,
      activation: 'none',
    }),
  );
  const fits = w.ndim === 2 && input.ndim > 0 && input.shape.at(-1) === w.shape[1];
  const shape = [...input.shape.slice(0, -1), w.shape[0]!];
  if (
    !fits ||
    (bias && (bias.ndim !== 1 || bias.shape[0] !== w.shape[0])) ||
    (residual && !sameShape(residual.shape, shape))
  ) {
    const given = [input, w, bias, residual].filter((t) => t !== null);
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `x, weight, bias and residual must have shapes [.., in], [out, in], [out] and [.., out], got ` +
        given.map((t) => show([...t.shape])).join(', '),
    );
  }
  const rows = shape.slice(0, -1).reduce((m, n) => m * n, 1);
  const matrix = (t: Tensor, cols: number) =>
    t.ndim === 2 ? t : reshapeOp([t], { shape: [rows, cols] });
  const tall = matrix(input, w.shape[1]!);
  const inputs = [tall, w, bias, residual && matrix(residual, w.shape[0]!)];
  const y = withActivation(inputs, activation, (a) => linearOp(inputs, { activation: a }));
  return y.ndim === shape.length ? y : reshapeOp([y], { shape });
}
