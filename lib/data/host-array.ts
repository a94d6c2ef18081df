import { FluxionError, requireArgument, show } from '../errors';

// What a loader's worker thread runs imports nothing that loads the addon: this file, batch-maker, transform,
// pixel-transforms, random, module-reference.

type Elements = Float32Array | Float64Array | Int32Array | Uint8Array;

/** An array in the memory of the host, in C order. */
export interface HostArray {
  data: Elements;
  shape: readonly number[];
}

/** A sample: a list of arrays, such as an image and a label (a number is an int32). */
export type Sample = readonly (HostArray | number)[];

/** Memory for `length` elements of the kind of another array. */
export type Allocate = <T extends Elements>(like: T, length: number) => T;

export const allocateFresh: Allocate = <T extends Elements>(like: T, length: number) =>
  new (like.constructor as new (length: number) => T)(length);

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Elements of a row from which on a call of `set` for each costs less than a loop. */
const LONG_ROW = 48;

/** Rows of an array, gathered. */
export function takeRows(
  { data, shape }: HostArray,
  indices: ArrayLike<number>,
  allocate: Allocate,
): HostArray {
  const row = countOf(shape.slice(1));
  const taken = allocate(data, indices.length * row);
  if (row < LONG_ROW) {
    copyShortRows(data, taken, indices, row);
  } else {
    for (let i = 0; i < indices.length; i++) {
      const from = indices[i]! * row;
      taken.set(data.subarray(from, from + row), i * row);
    }
  }
  return { data: taken, shape: [indices.length, ...shape.slice(1)] };
}

function copyShortRows(
  from: Elements,
  to: Elements,
  indices: ArrayLike<number>,
  row: number,
): void {
  let at = 0;
  for (let i = 0; i < indices.length; i++) {
    const begin = indices[i]! * row;
    for (let k = begin; k < begin + row; k++) to[at++] = from[k]!;
  }
}

/** Samples as the rows of arrays. */
export function stackSamples(samples: readonly Sample[], allocate: Allocate): HostArray[] {
  return samples[0]!.map((first, part) => {
    const { data: like, shape } = asArray(first);
    const row = countOf(shape);
    const data = allocate(like, samples.length * row);
    samples.forEach((sample, i) => {
      const entry = asArray(sample[part]);
      if (entry.data.length !== row) {
        throw new FluxionError(
          'FLUXION_SHAPE_MISMATCH',
          'DataLoader',
          `samples must have one shape, got ${show([...shape])} and ${show([...entry.shape])}`,
        );
      }
      data.set(entry.data, i * row);
    });
    return { data, shape: [samples.length, ...shape] };
  });
}

function asArray(part: HostArray | number | undefined): HostArray {
  if (typeof part === 'number') return { data: Int32Array.of(part), shape: [] };
  requireArgument(
    part !== undefined && ArrayBuffer.isView(part.data),
    'DataLoader',
    () => `a sample must be a list of { data, shape } and numbers, got ${show(part)}`,
  );
  return part;
}
