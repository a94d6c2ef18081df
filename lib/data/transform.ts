import type { HostArray } from './host-array';
import type { ModuleReference } from './module-reference';
import { Random } from './random';

/** Where a batch stands in a run: what is drawn for a sample depends on this and its index only. */
export interface BatchPlace {
  seed: number;
  epoch: number;
  /** Which samples of the data set the rows are. */
  indices: ArrayLike<number>;
}

/**
 * Changes a batch before it becomes tensors. `random` is the same for the same seed, epoch and batch; for
 * numbers that belong to a sample whatever batch it is in, take `new Random(seed, epoch, indices[i])`.
 */
export type TransformFunction = (
  batch: HostArray[],
  random: Random,
  place: BatchPlace,
) => HostArray[];

/** A built-in transform as plain data, which can be sent to a worker. */
export type PixelTransform =
  | ({ kind: 'normalize'; mean: readonly number[]; std: readonly number[] } & OnArrays)
  | ({ kind: 'randomCrop'; size: readonly [number, number]; padding: number } & OnArrays)
  | ({ kind: 'flip'; axis: 'horizontal' | 'vertical'; p: number } & OnArrays)
  | ({ kind: 'gaussianNoise'; sigma: number } & OnArrays);

interface OnArrays {
  /** Positions in the batch of the arrays that it changes, all alike. */
  readonly arrays: readonly number[];
}

/** Several transforms, one after the other. */
export interface Composed {
  readonly compose: readonly Transform[];
}

/** A built-in transform, a module that makes one, several of them, or a function (without workers only). */
export type Transform = PixelTransform | ModuleReference | Composed | TransformFunction;

/** The stages of a transform, in order. */
export function stagesOf(
  transform: Transform | readonly Transform[],
): (PixelTransform | ModuleReference | TransformFunction)[] {
  if (Array.isArray(transform)) return (transform as Transform[]).flatMap(stagesOf);
  const single = transform as Transform;
  return 'compose' in single ? single.compose.flatMap(stagesOf) : [single];
}

/** The numbers of sample `row` in a part of the transforms: a stage, and a position in it. */
export function sampleRandom(place: BatchPlace, row: number, ...part: readonly number[]): Random {
  return new Random(place.seed, place.epoch, place.indices[row]!, ...part);
}
