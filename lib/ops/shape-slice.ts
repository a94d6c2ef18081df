import { type OpFunction, defineOp } from './define';

// The op behind all slices: a view, and its adjoint, which surrounds with zeros.

interface SliceParams {
  starts: number[];
  stops: number[];
  steps: number[];
}
interface SliceVjpParams {
  starts: number[];
  steps: number[];
  inputShape: readonly number[];
}

const sliceVjp = defineOp<SliceVjpParams>('slice_vjp', {
  vjp: ({ g, shape, params: { starts, steps } }) => {
    const stops = starts.map((start, i) => {
      const n = shape(0)[i]!;
      return n === 0 ? start : start + (n - 1) * steps[i]! + 1;
    });
    return [sliceOp([g], { starts, stops, steps })];
  },
});

/** @internal Several dimensions at once; 0 <= start <= stop <= size. */
export const sliceOp: OpFunction<SliceParams> = defineOp<SliceParams>('slice', {
  vjp: ({ g, shape, params: { starts, steps } }) => [
    sliceVjp([g], { starts, steps, inputShape: shape(0) }),
  ],
});
