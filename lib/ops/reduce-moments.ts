import { requireArgument, show } from '../errors';
import { isComplex } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { gradEnabled } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { expandTo, reshapeOp, sumOp } from './broadcast';
import { defineOp, defineOpWithOutputs, pullThrough, withDefaults } from './define';
import { abs, cast, div, eq, mul, pow, sign, sqrt, square, sub, where } from './elementwise';
import { floating, mulConjOp, realOp } from './promote';
import {
  type ReduceOptions,
  type Reduction,
  aboutRun,
  countReduced,
  dimsOf,
  kept,
  meanOp,
  reductionOf,
  requireInexact,
  runsOf,
  shareOfTies,
  spreadOp,
} from './reduce-sum';

export interface VarianceOptions extends ReduceOptions {
  /** The divisor is n - correction. Default 1: the unbiased estimate. */
  correction?: number;
}

export interface NormOptions extends ReduceOptions {
  /** Any number, Infinity and -Infinity too. Default 2. */
  p?: number;
}

interface Variance extends Reduction {
  correction: number;
  root: boolean;
}

/** x as the reduction of a composition, for derivatives of the fused ones. */
function composedVariance(x: Tensor, { correction, root, ...reduction }: Variance): Tensor {
  const centred = sub(x, meanOp([x], { ...reduction, keepdim: true }));
  const divisor = Math.max(0, countReduced(x.shape, reduction.dims) - correction);
  const squares = isComplex(x.dtype)
    ? realOp([mulConjOp([centred, centred], undefined)], undefined)
    : square(centred);
  const result = div(sumOp([squares], reduction), divisor);
  return root ? sqrt(result) : result;
}

const varianceOp = defineOpWithOutputs<Variance>('variance', {
  saveInputs: [0],
  saveOutputs: ({ root }) => (root ? [0, 1] : [1]),
  vjp: ({ g, input, output, needs, params }) => {
    const x = input(0);
    if (gradEnabled()) return pullThrough(g, [x], needs, (u) => composedVariance(u!, params));
    const divisor = Math.max(0, countReduced(x.shape, params.dims) - params.correction);
    // The deviation has no slope at 0; its gradient there is 0.
    const slope = params.root
      ? where(eq(output(0), 0), 0, div(g, mul(output(0), divisor)))
      : mul(g, 2 / divisor);
    return [spreadOp([x, kept(slope, x.shape, params), output(1)], { kind: 'centred' })];
  },
});

function varianceOf(
  op: string,
  input: Tensor,
  options: VarianceOptions | undefined,
  root: boolean,
): Tensor {
  const x = requireInexact(op, input);
  const { dim, keepdim, correction } = withDefaults<Required<VarianceOptions>>(op, options, {
    dim: [],
    keepdim: false,
    correction: 1,
  });
  requireArgument(
    Number.isFinite(correction),
    op,
    () => `correction must be a finite number, got ${show(correction)}`,
  );
  const params = { dims: dimsOf(op, x, dim), keepdim, correction, root };
  if (isComplex(x.dtype)) return composedVariance(x, params);
  const records = gradEnabled() && x.requiresGrad;
  const [result, average] = varianceOp([x], params, records ? 3 : 1);
  average?.dispose(); // what the tape has saved is its own
  return result!;
}

/**
 * Variance over dimensions: sum |x - mean|^2 / (n - correction), in one pass of shifted values (complex
 * numbers in two). NaN or Infinity where n <= correction. Integers are taken as float32. Differentiable.
 *
 * Also exported as `var`, a reserved word in JavaScript: `import { var as variance }`, or the method `x.var()`.
 */
export function variance(x: Tensor, options?: VarianceOptions): Tensor {
  return varianceOf('variance', x, options, false);
}
export { variance as var };

/** Standard deviation: the square root of {@link variance}. Its gradient where the variance is 0 is 0. */
export function std(x: Tensor, options?: VarianceOptions): Tensor {
  return varianceOf('std', x, options, true);
}

type NormOrder = '0' | '1' | '2' | 'Infinity' | '-Infinity';

interface Norm extends Reduction {
  order: NormOrder;
}

const normOp = defineOp<Norm>('norm', {
  saveInputs: [0],
  saveOutputs: ({ order }) => (order === '0' || order === '1' ? [] : [0]),
  vjp: ({ g, input, output, shape, params }) => {
    const spread = (t: Tensor) => kept(t, shape(0), params);
    if (params.order === '0') return [mul(cast(eq(input(0), input(0)), g.dtype), 0)];
    if (params.order === '1')
      return [
        mul(
          noGrad(() => sign(input(0))),
          spread(g),
        ),
      ];
    const [x, y] = [input(0), output(0)];
    if (params.order === '2') {
      const zero = eq(y, 0);
      return [mul(x, spread(where(zero, 0, div(g, where(zero, 1, y)))))];
    }
    const signs = noGrad(() => sign(x));
    return [mul(signs, shareOfTies(abs(x), y, g, params))];
  },
});

/** (sum |x|^p)^(1/p) for another p. */
function generalNorm(x: Tensor, p: number, reduction: Reduction): Tensor {
  const magnitude = abs(x);
  if (p < 0) return pow(sumOp([pow(magnitude, p)], reduction), 1 / p);
  const zero = eq(magnitude, 0);
  // The slope of |x|^p at 0 is 0 or infinite; PyTorch's gradient there is 0.
  const powers = where(zero, 0, pow(where(zero, 1, magnitude), p));
  const total = sumOp([powers], reduction);
  const none = eq(total, 0);
  return where(none, 0, pow(where(none, 1, total), 1 / p));
}

/**
 * Vector norm over dimensions: (sum |x|^p)^(1/p) in general, max |x| for Infinity, min |x| for -Infinity, the
 * number of elements other than 0 for 0. Sums are in float64: no overflow of float32 squares. The gradient at
 * the zero vector is 0; ties of an extremum share it. Differentiable. Cost:
 * one read for 0, 1, 2 and the extrema, a composition for another p.
 *
 * Errors: FLUXION_INVALID_ARGUMENT for a p that is no number and for an extremum over no elements;
 * FLUXION_DTYPE_MISMATCH for integers.
 */
export function norm(input: Tensor, options?: NormOptions): Tensor {
  requireInexact('norm', input);
  const x = floating('norm', isComplex(input.dtype) ? abs(input) : input);
  const { p, dim, keepdim } = withDefaults<Required<NormOptions>>('norm', options, {
    p: 2,
    dim: [],
    keepdim: false,
  });
  requireArgument(
    typeof p === 'number' && !Number.isNaN(p),
    'norm',
    () => `p must be a number, got ${show(p)}`,
  );
  const reduction = { dims: dimsOf('norm', x, dim), keepdim };
  if ([0, 1, 2, Infinity, -Infinity].includes(p)) {
    return normOp([x], { ...reduction, order: String(p) as NormOrder });
  }
  return generalNorm(x, p, reduction);
}

// ---------------------------------------------------------------------------------------------------
// Products

const prodOp = defineOp<Reduction>('prod', {
  saveInputs: [0],
  vjp: ({ g, input, needs, params }) => {
    const x = input(0);
    if (gradEnabled()) return productOfOthers(x, g, needs, params);
    const spread = (t: Tensor) => kept(t, x.shape, params);
    // d prod / dx_i is the product of the others: of all without zeros, of the others for the only zero.
    const zero = eq(x, 0);
    const others = where(zero, 1, x);
    const zeros = sumOp([zero], params);
    const product = mul(prodOp([others], params), g);
    const atRest = spread(where(eq(zeros, 0), product, 0));
    const atZero = spread(where(eq(zeros, 1), product, 0));
    return [where(zero, atZero, div(atRest, others))];
  },
});

/**
 * The vjp of a product as a product of all others of each element, from a matrix of them: its derivatives of
 * any order are right beside zeros. For second derivatives only; memory n^2.
 */
function productOfOthers(
  x: Tensor,
  g: Tensor,
  needs: (i: number) => boolean,
  { dims, keepdim }: Reduction,
): (Tensor | null)[] {
  const runs = runsOf(dims.length > 0 ? dims : [...x.shape.keys()]);
  if (runs.length !== 1) {
    return pullThrough(g, [x], needs, (u) => {
      const y = runs.reduce((t, run) => prodOp([t], { dims: run, keepdim: true }), u!);
      return keepdim ? y : reshapeOp([y], { shape: g.shape });
    });
  }
  const rows = aboutRun(x, runs[0]!);
  const [outer, n, inner] = rows.shape as [number, number, number];
  const own = Uint8Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0));
  const diagonal = new Tensor(upload(own, 'uint8', [1, n, n, 1], x.live('prod').device));
  const all = expandTo(reshapeOp([rows], { shape: [outer, 1, n, inner] }), [outer, n, n, inner]);
  const others = prodOp([where(diagonal, 1, all)], { dims: [2], keepdim: false });
  const spread = reshapeOp([g], { shape: [outer, 1, inner] });
  return [reshapeOp([mul(others, spread)], { shape: x.shape })];
}

/**
 * Product over dimensions; 1 over none. uint8 gives int32, which wraps. Accumulated in float64.
 * Differentiable, right where there are zeros. Cost: one read; backward several passes.
 */
export function prod(x: Tensor, options?: ReduceOptions): Tensor {
  return prodOp([x], reductionOf('prod', x, options));
}
