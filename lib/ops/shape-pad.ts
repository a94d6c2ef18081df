import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, defineOp, requireTensor, withDefaults } from './define';
import { sliceOp } from './shape-slice';

// ---------------------------------------------------------------------------------------------------
// Padding

const PAD_MODES = ['constant', 'reflect', 'replicate', 'circular'] as const;

/** What stands outside of a tensor. */
export type PadMode = (typeof PAD_MODES)[number];

export interface PadOptions {
  /** Default 'constant'. */
  mode?: PadMode;
  /** Value of the new elements; in mode 'constant' only. Default 0. */
  value?: number;
}

interface Sides {
  before: number[];
  after: number[];
}
interface PadParams extends Sides {
  mode: PadMode;
  value: number;
}
interface PadVjpParams extends Sides {
  mode: PadMode;
  inputShape: readonly number[];
}

const padVjp: OpFunction<PadVjpParams> = defineOp<PadVjpParams>('pad_vjp', {
  vjp: ({ g, params: { before, after, mode } }) => [padOp([g], { before, after, mode, value: 0 })],
});

const padOp: OpFunction<PadParams> = defineOp<PadParams>('pad', {
  vjp: ({ g, shape, params: { before, after, mode } }) => {
    if (mode !== 'constant') return [padVjp([g], { before, after, mode, inputShape: shape(0) })];
    if ([...before, ...after].some((n) => n < 0)) return [padOp([g], unpadded(before, after))];
    const stops = shape(0).map((n, i) => before[i]! + n);
    return [sliceOp([g], { starts: before, stops, steps: before.map(() => 1) })];
  },
});

/** The adjoint of padding with a constant: zeros where it takes away. */
function unpadded(before: readonly number[], after: readonly number[]): PadParams {
  const negated = (sizes: readonly number[]) => sizes.map((n) => -n);
  return { before: negated(before), after: negated(after), mode: 'constant', value: 0 };
}

/**
 * Surrounds a tensor with new elements. `padding` lists pairs (before, after) from the last dimension forwards:
 * [left, right, top, bottom] for images; negative sizes take elements away.
 *
 * - 'constant': the elements are `value`.
 * - 'reflect': x_-i = x_i, x_(n-1+i) = x_(n-1-i); less than n on each side.
 * - 'replicate': the outermost element.
 * - 'circular': x_-i = x_(n-i), x_(n-1+i) = x_(i-1); at most n on each side, of what negative sizes leave.
 *
 * All modes take any dtype and pad any of the dimensions. Differentiable; the adjoint sums the copies of an
 * element in a fixed order. Cost: one read and one write, forward and backward.
 *
 * Errors: FLUXION_INVALID_ARGUMENT for sizes that are odd in number, too many, beyond the reach of the mode,
 * or take away more than there is; for a value in another mode than 'constant'.
 */
export function pad(x: Tensor, padding: readonly number[], options?: PadOptions): Tensor {
  requireTensor('pad', x);
  const { mode, value } = withDefaults<{ mode: PadMode; value: number | null }>('pad', options, {
    mode: 'constant',
    value: null,
  });
  requireArgument(
    PAD_MODES.includes(mode),
    'pad',
    () => `mode must be one of ${PAD_MODES.join(', ')}, got ${show(mode)}`,
  );
  requireArgument(
    value === null || (mode === 'constant' && typeof value === 'number'),
    'pad',
    () => `value must be a number, in mode 'constant' only, got ${show(value)} in mode '${mode}'`,
  );
  requireArgument(
    Array.isArray(padding) &&
      padding.every(Number.isInteger) &&
      padding.length % 2 === 0 &&
      padding.length <= 2 * x.ndim,
    'pad',
    () => `padding must be up to ${x.ndim} pairs of integers, got ${show(padding)}`,
  );
  const side = (offset: number) =>
    x.shape.map((_, i) => (padding[2 * (x.ndim - 1 - i) + offset] as number | undefined) ?? 0);
  const [before, after] = [side(0), side(1)];
  const crops = mode === 'circular' && [...before, ...after].some((n) => n < 0);
  if (!crops) return padOp([x], { before, after, mode, value: value ?? 0 });
  // What is taken away is not there to wrap round to, as in PyTorch.
  const less = (sizes: number[]) => sizes.map((n) => Math.min(n, 0));
  const more = (sizes: number[]) => sizes.map((n) => Math.max(n, 0));
  const crop = { before: less(before), after: less(after), mode: 'constant', value: 0 } as const;
  return padOp([padOp([x], crop)], { before: more(before), after: more(after), mode, value: 0 });
}

// ---------------------------------------------------------------------------------------------------
// Triangles

export interface TriangleOptions {
  /** The diagonal at which the triangle ends: 0 the main one, 1 the one above it. Default 0. */
  diagonal?: number;
}

const trilOp: OpFunction<{ diagonal: number }> = defineOp<{ diagonal: number }>('tril', {
  vjp: ({ g, params }) => [trilOp([g], params)],
});
const triuOp: OpFunction<{ diagonal: number }> = defineOp<{ diagonal: number }>('triu', {
  vjp: ({ g, params }) => [triuOp([g], params)],
});

function diagonalOf(op: string, options: TriangleOptions | undefined): { diagonal: number } {
  const { diagonal } = withDefaults<Required<TriangleOptions>>(op, options, { diagonal: 0 });
  requireArgument(
    Number.isSafeInteger(diagonal),
    op,
    () => `diagonal must be an integer, got ${show(diagonal)}`,
  );
  return { diagonal };
}

/**
 * The lower triangle of the last two dimensions: elements [.., i, j] with j - i <= diagonal; the others are
 * zero. Any dtype, differentiable. Cost: one read and one write.
 *
 * Errors: FLUXION_SHAPE_MISMATCH for less than two dimensions.
 */
export function tril(x: Tensor, options?: TriangleOptions): Tensor {
  requireTensor('tril', x);
  return trilOp([x], diagonalOf('tril', options));
}

/** The upper triangle: j - i >= diagonal. Otherwise as {@link tril}. */
export function triu(x: Tensor, options?: TriangleOptions): Tensor {
  requireTensor('triu', x);
  return triuOp([x], diagonalOf('triu', options));
}
