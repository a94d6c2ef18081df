import { FluxionError, requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { broadcastShapes, expandTo, reshapeOp } from './broadcast';
import {
  type OpFunction,
  defineOp,
  defineOpWithOutputs,
  requireTensor,
  withDefaults,
} from './define';
import { add, mul, neg } from './elementwise';
import { floatingPair, matmul } from './linalg-matmul';
import { floating } from './promote';
import { permute, transpose } from './shape';
import { tril, triu } from './shape-pad';

// Dense systems: LU with partial pivoting, Cholesky, triangular matrices; batches in the leading dimensions.
// Deterministic: an element is computed by the same operations for any number of threads.

const transposed = (x: Tensor) => transpose(x, -2, -1);

// The matrix itself is an operand for the sake of its gradient; the kernel reads the factors only.
const luSolveOp: OpFunction<{ transposed: boolean }> = defineOp<{ transposed: boolean }>(
  'lu_solve',
  {
    saveInputs: [0, 1, 2],
    saveOutputs: (_, needs) => (needs(0) ? [0] : []),
    vjp: ({ g, input, output, needs, params }) => {
      const factors = [input(0), input(1), input(2)];
      const gb = luSolveOp([...factors, g], { transposed: !params.transposed });
      if (!needs(0)) return [null, null, null, gb];
      const outer = params.transposed
        ? matmul(output(0), transposed(gb))
        : matmul(gb, transposed(output(0)));
      return [neg(outer), null, null, needs(3) ? gb : null];
    },
  },
);

const solveOp = defineOpWithOutputs('solve', {
  saveInputs: [0],
  saveOutputs: (_, needs) => (needs(0) ? [0, 1, 2] : [1, 2]),
  vjp: ({ g, input, output, needs }) => {
    const gb = luSolveOp([input(0), output(1), output(2), g], { transposed: true });
    return [needs(0) ? neg(matmul(gb, transposed(output(0)))) : null, needs(1) ? gb : null];
  },
});

function requireSquare(op: string, a: Tensor): number {
  const n = a.shape.at(-1);
  if (a.ndim < 2 || n !== a.shape.at(-2)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `A must have square matrices in its last two dimensions, got shape ${show([...a.shape])}`,
    );
  }
  return n!;
}

/** Both operands with one batch, B with columns. */
function broadcastSystem(op: string, a: Tensor, b: Tensor): [Tensor, Tensor] {
  const n = requireSquare(op, a);
  if (b.ndim < 2 || b.shape.at(-2) !== n) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `B must have ${n} rows, as A of shape ${show([...a.shape])}, got shape ${show([...b.shape])}`,
    );
  }
  const batch = broadcastShapes(op, a.shape.slice(0, -2), b.shape.slice(0, -2));
  return [expandTo(a, [...batch, n, n]), expandTo(b, [...batch, ...b.shape.slice(-2)])];
}

/** One matrix for a batch of right sides is one system with more columns. */
function asColumns(b: Tensor): { columns: Tensor; restore: (x: Tensor) => Tensor } {
  const last = b.ndim - 1;
  const batch = [...Array(last - 1).keys()];
  const order = [last - 1, ...batch, last];
  const moved = permute(b, order);
  const back = order.map((_, i) => order.indexOf(i));
  return {
    columns: reshapeOp([moved], {
      shape: [b.shape[last - 1]!, batch.reduce((s, i) => s * b.shape[i]!, b.shape[last]!)],
    }),
    restore: (x) => permute(reshapeOp([x], { shape: moved.shape }), back),
  };
}

function solveSystem(a: Tensor, b: Tensor): Tensor {
  const recorded = gradEnabled() && (a.requiresGrad || b.requiresGrad);
  const [x, lu, pivots] = solveOp([a, b], undefined, recorded ? 7 : 1);
  lu?.dispose(); // what the tape has saved is its own
  pivots?.dispose();
  return x!;
}

export interface SolveOptions {
  /** Whether A stands on the left, A X = B; else X A = B. Default true. */
  left?: boolean;
}

/**
 * X with A X = B, by LU factorisation with partial pivoting.
 *
 * - `a` [.., n, n]; `b` [.., n, k], or vectors [.., n] where its shape is that of A without the last dimension,
 *   or [n]. Batches broadcast; one matrix for many right sides is factored once. Integers are taken as float32.
 * - With `left: false`, X A = B with b [.., k, n].
 * - Gradients: gB = A^-T g from the same factors, gA = -gB X^T; any number of times.
 * - Cost: 2/3 n^3 + 2 n^2 k flops a matrix; backward 2 n^2 k for gB and as much for gA.
 * - Errors: FLUXION_SHAPE_MISMATCH; FLUXION_INVALID_ARGUMENT at the next read where a pivot is exactly 0, with
 *   the batch element; its result is NaN.
 *
 * Source: Golub and Van Loan, Matrix Computations, 3.4; gradients: Giles, Oxford NA 08/01 (2008).
 */
export function solve(a: Tensor, b: Tensor, options?: SolveOptions): Tensor {
  const op = 'solve';
  const { left } = withDefaults<Required<SolveOptions>>(op, options, { left: true });
  const [matrix, sides] = floatingPair(op, a, b);
  const n = requireSquare(op, matrix);
  const vector =
    sides.ndim === 1 ||
    (sides.ndim === matrix.ndim - 1 && sameShape(sides.shape, matrix.shape.slice(0, -1)));
  if (!left) {
    requireArgument(!vector, op, 'left must be true where B is a vector, got false');
    return transposed(solve(transposed(matrix), transposed(sides)));
  }
  if (vector) {
    const x = solve(matrix, reshapeOp([sides], { shape: [...sides.shape, 1] }));
    return reshapeOp([x], { shape: x.shape.slice(0, -1) });
  }
  if (matrix.ndim === 2 && sides.ndim > 2 && sides.shape.at(-2) === n) {
    const { columns, restore } = asColumns(sides);
    return restore(solveSystem(matrix, columns));
  }
  return solveSystem(...broadcastSystem(op, matrix, sides));
}

const invOp: OpFunction = defineOp('inv', {
  saveOutputs: [0],
  vjp: ({ g, output }) => {
    const y = transposed(output(0));
    return [neg(matmul(matmul(y, g), y))];
  },
});

/**
 * The inverse of matrices [.., n, n]. {@link solve} is faster and more exact than a product with it.
 *
 * Gradient: -Y^T g Y^T. Cost: 8/3 n^3 flops a matrix. Errors as {@link solve}.
 */
export function inv(a: Tensor): Tensor {
  const matrix = floating('inv', a);
  requireSquare('inv', matrix);
  return invOp([matrix], undefined);
}

interface Triangular {
  upper: boolean;
  unitriangular: boolean;
}

const solveTriangularOp: OpFunction<Triangular> = defineOp<Triangular>('solve_triangular', {
  saveInputs: [0],
  saveOutputs: (_, needs) => (needs(0) ? [0] : []),
  vjp: ({ g, input, output, needs, params: { upper, unitriangular } }) => {
    const gb = solveTriangularOp([transposed(input(0)), g], { upper: !upper, unitriangular });
    if (!needs(0)) return [null, gb];
    const outer = neg(matmul(gb, transposed(output(0))));
    const diagonal = unitriangular ? 1 : 0;
    const part = upper ? triu(outer, { diagonal }) : tril(outer, { diagonal: -diagonal });
    return [part, needs(1) ? gb : null];
  },
});

export interface SolveTriangularOptions {
  /** Whether the upper triangle of A is read, else the lower one. */
  upper: boolean;
  /** Whether A stands on the left, A X = B; else X A = B. Default true. */
  left?: boolean;
  /** Whether the diagonal of A is taken as 1 and not read. Default false. */
  unitriangular?: boolean;
}

/**
 * X with A X = B for a triangular A; the other triangle is not read.
 *
 * - `a` [.., n, n]; `b` [.., n, k], with `left: false` [.., k, n]. Batches broadcast.
 * - Gradients in both, any number of times; that in A has its triangle. Cost: n^2 k flops a matrix.
 * - A zero on the diagonal gives infinities, as in PyTorch. Errors: FLUXION_SHAPE_MISMATCH.
 */
export function solveTriangular(a: Tensor, b: Tensor, options: SolveTriangularOptions): Tensor {
  const op = 'solveTriangular';
  const given = withDefaults<{ upper: boolean | null; left: boolean; unitriangular: boolean }>(
    op,
    options,
    { upper: null, left: true, unitriangular: false },
  );
  for (const [name, value] of Object.entries(given))
    requireArgument(
      typeof value === 'boolean',
      op,
      () => `${name} must be true or false, got ${show(value)}`,
    );
  const { left, unitriangular } = given;
  const upper = given.upper === true;
  const [matrix, sides] = floatingPair(op, a, b);
  if (!left) {
    requireSquare(op, matrix);
    const x = solveTriangular(transposed(matrix), transposed(sides), {
      upper: !upper,
      unitriangular,
    });
    return transposed(x);
  }
  return solveTriangularOp(broadcastSystem(op, matrix, sides), { upper, unitriangular });
}

const choleskyOp: OpFunction = defineOp('cholesky', {
  saveOutputs: [0],
  // gA = L^-T S L^-1 with S the symmetric part of tril(L^T g) (its diagonal halved on both sides).
  vjp: ({ g, output }) => {
    const l = output(0);
    const upper = transposed(l);
    const product = matmul(upper, g);
    const symmetric = mul(add(tril(product), transposed(tril(product, { diagonal: -1 }))), 0.5);
    const half = solveTriangularOp([upper, symmetric], { upper: true, unitriangular: false });
    const whole = solveTriangularOp([upper, transposed(half)], {
      upper: true,
      unitriangular: false,
    });
    return [whole];
  },
});

export interface CholeskyOptions {
  /** Whether the factor is the upper one, A = U^T U. Default false. */
  upper?: boolean;
}

/**
 * The lower triangular L with A = L L^T for symmetric positive definite matrices [.., n, n]. Only the lower
 * triangle of A is read; the gradient is symmetric, as in PyTorch.
 *
 * Cost: n^3 / 3 flops a matrix. Errors: FLUXION_SHAPE_MISMATCH; FLUXION_INVALID_ARGUMENT at the next read where
 * a matrix is not positive definite, with the batch element; its factor is NaN.
 *
 * Source: Golub and Van Loan, Matrix Computations, 4.2; gradient: Murray, arXiv:1602.07527 (2016).
 */
export function cholesky(a: Tensor, options?: CholeskyOptions): Tensor {
  const { upper } = withDefaults<Required<CholeskyOptions>>('cholesky', options, { upper: false });
  requireTensor('cholesky', a);
  const matrix = floating('cholesky', a);
  requireSquare('cholesky', matrix);
  const factor = choleskyOp([upper ? transposed(matrix) : matrix], undefined);
  return upper ? transposed(factor) : factor;
}
