import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { defineOp, withDefaults } from './define';
import { floating } from './promote';
import { type FourierNorm, normFactor, transformGrid } from './spectral-grid';

// Cosine and sine transforms with SciPy's conventions. All are y = scale E_out M E_in x with the matrices M of
// native/ops/fourier.h and factors E at the ends of a line, so the adjoint is the same with M transposed (types
// 2 and 3 are each other's) and the factors exchanged.

/** Type of a cosine or sine transform. */
export type TrigonometricType = 1 | 2 | 3 | 4;

export interface TrigonometricOptions {
  /** Default 2. */
  type?: TrigonometricType;
  /** Points of the transform: the input is cropped or padded with zeros to it. Default its size. */
  n?: number;
  /** Default -1. */
  dim?: number;
  /** Default 'backward'. 'ortho' also makes the matrix orthogonal. */
  norm?: FourierNorm;
}

export interface TrigonometricNdOptions {
  /** Default 2. */
  type?: TrigonometricType;
  /** Points along each dimension of `dim`. Default their sizes. */
  s?: readonly number[];
  /** Dimensions that are transformed. Default as many as `s` has, or all. */
  dim?: readonly number[];
  /** Default 'backward'. */
  norm?: FourierNorm;
}

interface TrigonometricParams {
  kind: string;
  dim: number;
  length: number;
  size: number;
  scale: number;
  endIn: number;
  endOut: number;
}

const TRANSPOSED = [0, 1, 3, 2, 4] as const;

function transposed(kind: string): string {
  return kind.slice(0, -1) + TRANSPOSED[Number(kind.at(-1))];
}

const trigonometricOp = defineOp<TrigonometricParams>('trigonometric', {
  vjp: ({ g, params, shape }) => [
    trigonometricOp([g], {
      ...params,
      kind: transposed(params.kind),
      size: shape(0)[params.dim]!,
      endIn: params.endOut,
      endOut: params.endIn,
    }),
  ],
}) as (inputs: readonly Tensor[], params: TrigonometricParams) => Tensor;

type Family = 'cos' | 'sin';

interface Request {
  type: TrigonometricType;
  s: readonly number[] | undefined;
  dim: readonly number[] | undefined;
  norm: FourierNorm;
}

/** One dimension: M itself has the factor 2 in SciPy, and the ends of some types count half. */
function transformLine(
  op: string,
  family: Family,
  type: TrigonometricType,
  inverse: boolean,
  x: Tensor,
  dim: number,
  n: number,
  norm: FourierNorm,
): Tensor {
  requireArgument(
    n >= 2 || type !== 1 || family === 'sin',
    op,
    () => `the number of points must be >= 2 for type 1, got ${n}`,
  );
  const period = type === 1 ? 2 * (family === 'cos' ? n - 1 : n + 1) : 2 * n;
  const applied = inverse ? TRANSPOSED[type] : type;
  const root = Math.SQRT1_2;
  const halved = applied === 3 || (applied === 1 && family === 'cos');
  let [endIn, endOut] = [halved ? 0.5 : 1, 1];
  if (norm === 'ortho') {
    if (applied === 1 && family === 'cos') [endIn, endOut] = [root, root];
    if (applied === 2) endOut = root;
    if (applied === 3) endIn = root;
  }
  const scale = 2 * normFactor(op, norm, period, inverse);
  return trigonometricOp([x], {
    kind: `${family}-${applied}`,
    dim,
    length: n,
    size: n,
    scale,
    endIn,
    endOut,
  });
}

function transform(
  op: string,
  family: Family,
  inverse: boolean,
  x: Tensor,
  request: Request,
): Tensor {
  const input = floating(op, x);
  const { type, norm } = request;
  requireArgument(
    type === 1 || type === 2 || type === 3 || type === 4,
    op,
    () => `type must be 1, 2, 3 or 4, got ${show(type)}`,
  );
  const { dims, lengths } = transformGrid(op, input, request.s, request.dim);
  return dims.reduceRight(
    (y, dim, i) => transformLine(op, family, type, inverse, y, dim, lengths[i]!, norm),
    input,
  );
}

function along(
  op: string,
  family: Family,
  inverse: boolean,
  x: Tensor,
  options?: TrigonometricOptions,
): Tensor {
  const { type, n, dim, norm } = withDefaults<{
    type: TrigonometricType;
    n: number | undefined;
    dim: number;
    norm: FourierNorm;
  }>(op, options, { type: 2, n: undefined, dim: -1, norm: 'backward' });
  return transform(op, family, inverse, x, {
    type,
    s: n === undefined ? n : [n],
    dim: [dim],
    norm,
  });
}

function over(
  op: string,
  family: Family,
  inverse: boolean,
  x: Tensor,
  options?: TrigonometricNdOptions,
): Tensor {
  const request = withDefaults<Request>(op, options, {
    type: 2,
    s: undefined,
    dim: undefined,
    norm: 'backward',
  });
  return transform(op, family, inverse, x, request);
}

/**
 * Discrete cosine transform of type 1 to 4 of a real tensor along a dimension, as SciPy's:
 *
 *     type 1  y_k = x_0 + (-1)^k x_(n-1) + 2 sum_(0 < j < n-1) x_j cos(pi j k / (n - 1)),   n >= 2
 *     type 2  y_k = 2 sum_j x_j cos(pi (2j+1) k / (2 n))
 *     type 3  y_k = x_0 + 2 sum_(j > 0) x_j cos(pi j (2k+1) / (2 n))
 *     type 4  y_k = 2 sum_j x_j cos(pi (2j+1) (2k+1) / (4 n))
 *
 * Type 2 is the basis of zero flux through walls half a cell outside (Boundary 'neumann'). norm 'forward'
 * divides by the period, 2 (n - 1) for type 1 and 2 n for the others; 'ortho' makes the matrix orthogonal.
 *
 * - Gradient: the transposed transform (types 2 and 3 are each other's); differentiable to any order.
 * - Deterministic. Cost: that of `rfft` with a pass before and after; type 1 is twice that.
 * - Errors: FLUXION_INVALID_ARGUMENT for an unknown type, norm or dim, n < 1 (type 1: n < 2);
 *   FLUXION_DTYPE_MISMATCH for complex input.
 *
 * Source: docs/numerics/fourier.md.
 */
export function dct(x: Tensor, options?: TrigonometricOptions): Tensor {
  return along('dct', 'cos', false, x, options);
}

/** The inverse of {@link dct} of the same type and norm. */
export function idct(x: Tensor, options?: TrigonometricOptions): Tensor {
  return along('idct', 'cos', true, x, options);
}

/**
 * Discrete sine transform of type 1 to 4, as SciPy's:
 *
 *     type 1  y_k = 2 sum_j x_j sin(pi (j+1) (k+1) / (n + 1))
 *     type 2  y_k = 2 sum_j x_j sin(pi (2j+1) (k+1) / (2 n))
 *     type 3  y_k = (-1)^k x_(n-1) + 2 sum_(j < n-1) x_j sin(pi (j+1) (2k+1) / (2 n))
 *     type 4  y_k = 2 sum_j x_j sin(pi (2j+1) (2k+1) / (4 n))
 *
 * Type 1 is the basis of zero values one cell outside (Boundary 'dirichlet'). Everything else as {@link dct}; the period
 * of type 1 is 2 (n + 1).
 */
export function dst(x: Tensor, options?: TrigonometricOptions): Tensor {
  return along('dst', 'sin', false, x, options);
}

/** The inverse of {@link dst} of the same type and norm. */
export function idst(x: Tensor, options?: TrigonometricOptions): Tensor {
  return along('idst', 'sin', true, x, options);
}

/** {@link dct} along all dimensions, or those of `dim`. */
export function dctn(x: Tensor, options?: TrigonometricNdOptions): Tensor {
  return over('dctn', 'cos', false, x, options);
}

/** The inverse of {@link dctn}. */
export function idctn(x: Tensor, options?: TrigonometricNdOptions): Tensor {
  return over('idctn', 'cos', true, x, options);
}

/** {@link dst} along all dimensions, or those of `dim`. */
export function dstn(x: Tensor, options?: TrigonometricNdOptions): Tensor {
  return over('dstn', 'sin', false, x, options);
}

/** The inverse of {@link dstn}. */
export function idstn(x: Tensor, options?: TrigonometricNdOptions): Tensor {
  return over('idstn', 'sin', true, x, options);
}
