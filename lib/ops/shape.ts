import { FluxionError, requireArgument, show } from '../errors';
import { type DType, DTYPES, promote } from '../tensor/dtype';
import { MAX_OPERANDS, retain } from '../tensor/handle';
import { type DeviceName, isDeviceName, requireDevice } from '../tensor/device';
import { requireShape, sameShape, sizeOf } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { expandOp, reshapeOp } from './broadcast';
import {
  type OpFunction,
  axisOf,
  defineOp,
  listOf,
  requireDims,
  requireTensor,
  withDefaults,
} from './define';
import { cast } from './promote';
import { moved } from './shape-device';
import { sliceOp } from './shape-slice';

// Views share the memory of their input: reshape (of a contiguous tensor), permute, expand, slice and what is
// made of them cost nothing. All others copy. Dimensions count from the back when negative.

// ---------------------------------------------------------------------------------------------------
// New shapes for the same elements

/**
 * The same elements in row-major order under another shape; one size may be -1, which stands for what is
 * left. A view where the memory allows it, else a copy. Differentiable.
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  requireTensor('reshape', x);
  requireShape('reshape', shape, -1);
  const open = shape.indexOf(-1);
  if (open < 0) return reshapeOp([x], { shape });
  const rest = sizeOf(shape.filter((_, i) => i !== open));
  const size = x.size / rest;
  if (!Number.isInteger(size) || shape.lastIndexOf(-1) !== open) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'reshape',
      `shape must have one -1 at most and divide the ${x.size} elements of the input, got ${show(shape)}`,
    );
  }
  return reshapeOp([x], { shape: shape.map((n) => (n === -1 ? size : n)) });
}

export interface FlattenOptions {
  /** First dimension to merge. Default 0. */
  startDim?: number;
  /** Last dimension to merge. Default -1. */
  endDim?: number;
}

/** Merges the dimensions startDim to endDim into one. Differentiable. */
export function flatten(x: Tensor, options?: FlattenOptions): Tensor {
  requireTensor('flatten', x);
  const { startDim, endDim } = withDefaults('flatten', options, { startDim: 0, endDim: -1 });
  const from = axisOf('flatten', startDim, x.ndim, 'startDim');
  const to = axisOf('flatten', endDim, x.ndim, 'endDim');
  requireArgument(
    from <= to,
    'flatten',
    () => `startDim must not be behind endDim, got ${startDim} and ${endDim}`,
  );
  const merged = sizeOf(x.shape.slice(from, to + 1));
  return reshapeOp([x], { shape: [...x.shape.slice(0, from), merged, ...x.shape.slice(to + 1)] });
}

const permuteOp: OpFunction<{ dims: number[] }> = defineOp<{ dims: number[] }>('permute', {
  vjp: ({ g, params: { dims } }) => [permuteOp([g], { dims: dims.map((_, i) => dims.indexOf(i)) })],
});

/** Dimension i of the result is dimension dims[i] of the input. A view. Differentiable. */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  requireTensor('permute', x);
  const order = listOf('permute', 'dims', dims);
  return permuteOp([x], { dims: order.map((d) => axisOf('permute', d, x.ndim, 'dims')) });
}

/** Exchanges two dimensions. A view. Differentiable. */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  requireTensor('transpose', x);
  const a = axisOf('transpose', dim0, x.ndim, 'dim0');
  const b = axisOf('transpose', dim1, x.ndim, 'dim1');
  const dims = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return permuteOp([x], { dims });
}

export interface SqueezeOptions {
  /** Dimensions to take away; those of another size than 1 stay. Default: all of size 1. */
  dim?: number | readonly number[];
}

/** Takes away dimensions of size 1. Differentiable. */
export function squeeze(x: Tensor, options?: SqueezeOptions): Tensor {
  requireTensor('squeeze', x);
  const { dim } = withDefaults<Required<SqueezeOptions>>('squeeze', options, {
    dim: [...x.shape.keys()],
  });
  const axes = listOf('squeeze', 'dim', dim).map((d) => axisOf('squeeze', d, x.ndim));
  const given = new Set(axes);
  requireArgument(
    given.size === axes.length,
    'squeeze',
    () => `dim must name each dimension once, got ${show(dim)}`,
  );
  return reshapeOp([x], { shape: x.shape.filter((n, i) => n !== 1 || !given.has(i)) });
}

/** Inserts a dimension of size 1 so that it becomes dimension `dim`. Differentiable. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  requireTensor('unsqueeze', x);
  return reshapeOp([x], { shape: x.shape.toSpliced(axisOf('unsqueeze', dim, x.ndim + 1), 0, 1) });
}

/**
 * Repeats dimensions of size 1, and new ones in front, without copying: a view with stride 0. -1 keeps a
 * size. Differentiable: the adjoint is a sum.
 */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  requireTensor('expand', x);
  requireShape('expand', shape, -1);
  const added = shape.length - x.ndim;
  const sizes = shape.map((n, i) => (n === -1 ? x.shape[i - added] : n));
  if (added < 0 || sizes.includes(undefined)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'expand',
      `shape must extend ${show([...x.shape])}, with -1 only for its dimensions, got ${show(shape)}`,
    );
  }
  return expandOp([x], { shape: sizes as number[] });
}

// ---------------------------------------------------------------------------------------------------
// Parts

/** A slice along one dimension; start <= stop are in range. */
function sliceAlong(x: Tensor, dim: number, start: number, stop: number, step = 1): Tensor {
  return sliceOp([x], {
    starts: x.shape.map((_, i) => (i === dim ? start : 0)),
    stops: x.shape.map((n, i) => (i === dim ? stop : n)),
    steps: x.shape.map((_, i) => (i === dim ? step : 1)),
  });
}

/**
 * Elements start, start + step, ... before `end` along `dim`, as Python's x[start:end:step]: negative bounds
 * count from the back, bounds outside are clamped. `end` may be left out or Infinity. step >= 1. A view.
 * Differentiable.
 */
export function slice(x: Tensor, dim: number, start: number, end = Infinity, step = 1): Tensor {
  requireDims('slice', x);
  const axis = axisOf('slice', dim, x.ndim);
  const size = x.shape[axis]!;
  const bound = (argument: string, value: number) => {
    requireArgument(
      Number.isInteger(value) || value === Infinity,
      'slice',
      () => `${argument} must be an integer, got ${show(value)}`,
    );
    return Math.min(Math.max(value < 0 ? value + size : value, 0), size);
  };
  const from = bound('start', start);
  const to = Math.max(bound('end', end), from);
  requireArgument(
    Number.isInteger(step) && step >= 1,
    'slice',
    () => `step must be an integer >= 1, got ${show(step)}; flip() turns a dimension round`,
  );
  return sliceAlong(x, axis, from, to, step);
}

/** The part of a tensor at one index of `dim`, without that dimension. A view. Differentiable. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  requireDims('select', x);
  const axis = axisOf('select', dim, x.ndim);
  const size = x.shape[axis]!;
  requireArgument(
    Number.isInteger(index) && index >= -size && index < size,
    'select',
    () => `index must be an integer in [${-size}, ${size}), got ${show(index)}`,
  );
  const at = index < 0 ? index + size : index;
  return reshapeOp([sliceAlong(x, axis, at, at + 1)], { shape: x.shape.toSpliced(axis, 1) });
}

export interface DimOptions {
  /** Default 0. */
  dim?: number;
}

/**
 * Cuts a tensor along `dim` into parts of `sizeOrSizes` elements (the last may be smaller), or of the sizes
 * given, which must add up. Views. Differentiable.
 */
export function split(
  x: Tensor,
  sizeOrSizes: number | readonly number[],
  options?: DimOptions,
): Tensor[] {
  requireDims('split', x);
  const dim = axisOf('split', withDefaults('split', options, { dim: 0 }).dim, x.ndim);
  const total = x.shape[dim]!;
  const isSize = (n: number) => Number.isInteger(n) && n >= 0;
  const sizes =
    typeof sizeOrSizes === 'number' && sizeOrSizes >= 1
      ? Array.from({ length: Math.max(1, Math.ceil(total / sizeOrSizes)) }, (_, i) =>
          Math.min(sizeOrSizes, total - i * sizeOrSizes),
        )
      : listOf('split', 'sizes', sizeOrSizes);
  requireArgument(
    sizes.every(isSize) && sizes.reduce((sum, n) => sum + n, 0) === total,
    'split',
    () => `sizes must be an integer >= 1 or add up to ${total}, got ${show(sizeOrSizes)}`,
  );
  let start = 0;
  return sizes.map((n) => sliceAlong(x, dim, start, (start += n)));
}

// ---------------------------------------------------------------------------------------------------
// Joining

const concatOp = defineOp<{ dim: number }>('cat', {
  vjp: ({ g, inputCount, needs, shape, params: { dim } }) => {
    let start = 0;
    return Array.from({ length: inputCount }, (_, i) => {
      const from = start;
      start += shape(i)[dim]!;
      return needs(i) ? sliceAlong(g, dim, from, start) : null;
    });
  },
});

function requireTensors(op: string, tensors: readonly Tensor[]): void {
  requireArgument(
    Array.isArray(tensors) && tensors.length > 0,
    op,
    () => `tensors must be an array of at least one tensor, got ${show(tensors)}`,
  );
  tensors.forEach((t, i) => requireTensor(op, t, `tensors[${i}]`));
}

/**
 * Joins tensors along a dimension they have; their other sizes are equal. Dtypes promote to the widest.
 * Differentiable. Cost: one read and one write.
 */
export function cat(tensors: readonly Tensor[], options?: DimOptions): Tensor {
  requireTensors('cat', tensors);
  requireDims('cat', tensors[0]!);
  const dim = axisOf('cat', withDefaults('cat', options, { dim: 0 }).dim, tensors[0].ndim);
  const dtype = tensors.map((t) => t.dtype).reduce(promote);
  let parts: readonly Tensor[] = tensors.map((t) => cast(t, dtype));
  while (parts.length > MAX_OPERANDS) {
    const groups = Math.ceil(parts.length / MAX_OPERANDS);
    const all = parts;
    parts = Array.from({ length: groups }, (_, i) =>
      concatOp(all.slice(i * MAX_OPERANDS, (i + 1) * MAX_OPERANDS), { dim }),
    );
  }
  return concatOp(parts, { dim });
}

/** Joins tensors of one shape along a new dimension. Differentiable. Cost: one read and one write. */
export function stack(tensors: readonly Tensor[], options?: DimOptions): Tensor {
  requireTensors('stack', tensors);
  const first = tensors[0]!;
  for (const { shape } of tensors) {
    if (sameShape(shape, first.shape)) continue;
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'stack',
      `tensors must have one shape, got ${show([...first.shape])} and ${show([...shape])}`,
    );
  }
  const dim = axisOf('stack', withDefaults('stack', options, { dim: 0 }).dim, first.ndim + 1);
  return cat(
    tensors.map((t) => unsqueeze(t, dim)),
    { dim },
  );
}

// ---------------------------------------------------------------------------------------------------
// Copies, detaching, conversion

const copyOp = defineOp('copy', { vjp: ({ g }) => [g] });

/** A copy with memory of its own, row-major. Differentiable. */
export function clone(x: Tensor): Tensor {
  return copyOp([x], undefined);
}

/** The same values, through which no gradient flows. Shares the memory. */
export function detach(x: Tensor): Tensor {
  requireTensor('detach', x);
  return new Tensor(retain(x.live('detach')));
}

/**
 * A tensor converted to a dtype (as {@link cast}) or moved to a device; the tensor itself where nothing
 * changes.
 *
 * Errors: FLUXION_UNSUPPORTED, with the reason, for a device that cannot be used.
 */
export function to(x: Tensor, deviceOrDtype: DType | DeviceName): Tensor {
  requireTensor('to', x);
  if ((DTYPES as readonly string[]).includes(deviceOrDtype)) return cast(x, deviceOrDtype as DType);
  requireArgument(
    isDeviceName(deviceOrDtype),
    'to',
    () => `target must be a dtype (${DTYPES.join(', ')}) or a device, got ${show(deviceOrDtype)}`,
  );
  return moved(x, requireDevice('to', deviceOrDtype));
}
