// Random views: the values of a tensor lie permuted, with gaps, steps and offsets in a larger one, or are one value
// repeated along a dimension. What lies between them is NaN (integers: a number that is no valid index).
import fc from 'fast-check';
import { type DType, type Tensor, tensor } from '../../lib';
import { indicesOf, sizeOf } from '../cases/case';

const MAX_DIMS = 8;
const NO_INDEX = 201;

/** Numbers of a tensor in row-major order; complex ones are pairs. */
export interface Content {
  shape: readonly number[];
  dtype: DType;
  data: Float64Array;
}

export interface ViewPlan {
  /** Chooses the order of the dimensions in memory. */
  order: number;
  /** Elements before the first and behind the last, and from one to the next, by dimension. */
  before: number[];
  after: number[];
  step: number[];
  /** Bit i: dimension i is expanded from one element. */
  expanded: number;
}

const perDim = (max: number, min = 0) =>
  fc.array(fc.integer({ min, max }), { minLength: MAX_DIMS, maxLength: MAX_DIMS });

/** Views, contiguous tensors among them. */
export function viewPlans({ expand = true } = {}): fc.Arbitrary<ViewPlan> {
  return fc.record({
    order: fc.nat(40319),
    before: perDim(2),
    after: perDim(2),
    step: perDim(3, 1),
    expanded: expand ? fc.oneof(fc.constant(0), fc.nat(255)) : fc.constant(0),
  });
}

export const partsOf = (dtype: DType) => (dtype.startsWith('complex') ? 2 : 1);
export const isInteger = (dtype: DType) => dtype === 'int32' || dtype === 'uint8';

/** The permutation of a number: its factorial digits choose among what is left. */
function permutationOf(order: number, ndim: number): number[] {
  const left = Array.from({ length: ndim }, (_, i) => i);
  let rest = order;
  return Array.from({ length: ndim }, (_, i) => {
    const at = rest % (ndim - i);
    rest = Math.floor(rest / (ndim - i));
    return left.splice(at, 1)[0]!;
  });
}

const isExpanded = (plan: ViewPlan, shape: readonly number[], i: number) =>
  ((plan.expanded >> i) & 1) === 1 && shape[i]! > 1;

/** The values that a view by the plan shows: along expanded dimensions those of the first element. */
export function shownValues({ shape, dtype, data }: Content, plan: ViewPlan): Content {
  const parts = partsOf(dtype);
  const shown = new Float64Array(data.length);
  let to = 0;
  for (const index of indicesOf(shape)) {
    const from = index.reduce(
      (at, n, i) => at * shape[i]! + (isExpanded(plan, shape, i) ? 0 : n),
      0,
    );
    for (let part = 0; part < parts; part++) shown[to++] = data[from * parts + part]!;
  }
  return { shape, dtype, data: shown };
}

/** A tensor with the values of {@link shownValues} that lies in memory as the plan says. */
export function viewOf({ shape, dtype, data }: Content, plan: ViewPlan): Tensor {
  const parts = partsOf(dtype);
  const order = permutationOf(plan.order, shape.length);
  const own = shape.map((n, i) => (isExpanded(plan, shape, i) ? 1 : n));
  const step = own.map((_, i) => plan.step[i]!);
  const before = own.map((_, i) => plan.before[i]!);
  const whole = own.map(
    (n, i) => before[i]! + (n > 0 ? (n - 1) * step[i]! + 1 : 0) + plan.after[i]!,
  );
  const padded = order.map((dim) => whole[dim]!);
  const base = new Float64Array(sizeOf(padded) * parts).fill(isInteger(dtype) ? NO_INDEX : NaN);
  for (const index of indicesOf(own)) {
    const from = index.reduce((at, n, i) => at * shape[i]! + n, 0);
    const to = order.reduce(
      (at, dim) => at * whole[dim]! + before[dim]! + index[dim]! * step[dim]!,
      0,
    );
    for (let part = 0; part < parts; part++) base[to * parts + part] = data[from * parts + part]!;
  }
  const inMemory = tensor(base, { shape: padded, dtype });
  let view = inMemory.permute(own.map((_, dim) => order.indexOf(dim)));
  own.forEach((n, i) => {
    const end = before[i]! + (n > 0 ? (n - 1) * step[i]! + 1 : 0);
    view = view.slice(i, before[i]!, end, step[i]);
  });
  return view.expand([...shape]);
}

/** The same values in a tensor of its own. */
export function contiguousOf({ shape, dtype, data }: Content): Tensor {
  return tensor(data, { shape, dtype });
}

/** The last bit of a number, relative to it. */
const UNITS: Partial<Record<DType, number>> = {
  ...{ float32: 2 ** -23, complex64: 2 ** -23, float64: 2 ** -52, complex128: 2 ** -52 },
};

/** Each number moved up or down by its last bit; integers stay. */
export function moved(content: Content, random: () => number): Content {
  const unit = UNITS[content.dtype] ?? 0;
  const data = content.data.map((x) => x * (random() < 0.5 ? 1 - unit : 1 + unit));
  return { ...content, data };
}
