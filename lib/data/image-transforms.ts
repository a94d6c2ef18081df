import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { Composed, PixelTransform, Transform } from './transform';

// Each transform below is plain data that main thread and worker carry out alike (pixel-transforms.ts). What it
// draws for a sample depends on (seed, epoch, index of the sample, place among the transforms) alone.

/** Which arrays of the batch a transform changes. */
export interface TransformTarget {
  /** Positions in the batch, all changed alike. Default [0], the images; [0, 1] where the target is an image too. */
  arrays?: readonly number[];
}

function requireTarget(op: string, arrays: readonly number[]): readonly number[] {
  requireArgument(
    Array.isArray(arrays) && arrays.every((i) => Number.isInteger(i) && i >= 0),
    op,
    () => `arrays must be a list of integers >= 0, got ${show(arrays)}`,
  );
  return arrays as readonly number[];
}

function requireProbability(op: string, p: unknown): asserts p is number {
  requireArgument(
    typeof p === 'number' && p >= 0 && p <= 1,
    op,
    () => `p must be a number in [0, 1], got ${show(p)}`,
  );
}

/** One number, or a list of them, as a list. */
function numbersOf(op: string, name: string, value: unknown, positive: boolean): number[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  requireArgument(
    list.length > 0 &&
      list.every((x) => typeof x === 'number' && Number.isFinite(x) && (!positive || x > 0)),
    op,
    () =>
      `${name} must be a finite number${positive ? ' > 0' : ''}, or one for each channel, got ${show(value)}`,
  );
  return list as number[];
}

/**
 * (value - mean) / std, for each channel: images [N, H, W] or [N, C, ..., H, W] to float32 [N, C, ..., H, W].
 * Bytes count as byte / 255, floating-point values as they are; the arithmetic is float32, as in torchvision's
 * ToTensor and Normalize. As the last transforms of a loader these run on the device.
 */
export function normalize(
  mean: number | readonly number[],
  std: number | readonly number[],
  options?: TransformTarget,
): PixelTransform {
  const { arrays } = withDefaults<Required<TransformTarget>>('normalize', options, { arrays: [0] });
  return {
    kind: 'normalize',
    mean: numbersOf('normalize', 'mean', mean, false),
    std: numbersOf('normalize', 'std', std, true),
    arrays: requireTarget('normalize', arrays),
  };
}

/** Bytes 0..255 of images to float32: (byte / 255 - mean) / std; see {@link normalize}. */
export function scaleImages(options?: { mean?: number; std?: number }): PixelTransform {
  const { mean, std } = withDefaults('scaleImages', options, { mean: 0, std: 1 });
  return {
    kind: 'normalize',
    mean: numbersOf('scaleImages', 'mean', mean, false),
    std: numbersOf('scaleImages', 'std', std, true),
    arrays: [0],
  };
}

export interface RandomCropOptions extends TransformTarget {
  /** Zeros put around the image before. Default 0. */
  padding?: number;
}

/** A window of `size` (a side, or [height, width]) at a random place of each image. */
export function randomCrop(
  size: number | readonly [number, number],
  options?: RandomCropOptions,
): PixelTransform {
  const { padding, arrays } = withDefaults<Required<RandomCropOptions>>('randomCrop', options, {
    padding: 0,
    arrays: [0],
  });
  const sides: readonly number[] = typeof size === 'number' ? [size, size] : size;
  requireArgument(
    Array.isArray(sides) && sides.length === 2 && sides.every((n) => Number.isInteger(n) && n > 0),
    'randomCrop',
    () => `size must be an integer > 0 or two of them, got ${show(size)}`,
  );
  requireArgument(
    Number.isInteger(padding) && padding >= 0,
    'randomCrop',
    () => `padding must be an integer >= 0, got ${show(padding)}`,
  );
  const [height, width] = sides as [number, number];
  return {
    kind: 'randomCrop',
    size: [height, width],
    padding,
    arrays: requireTarget('randomCrop', arrays),
  };
}

function randomFlip(
  op: string,
  axis: 'horizontal' | 'vertical',
  p: number,
  options: TransformTarget | undefined,
): PixelTransform {
  requireProbability(op, p);
  const { arrays } = withDefaults<Required<TransformTarget>>(op, options, { arrays: [0] });
  return { kind: 'flip', axis, p, arrays: requireTarget(op, arrays) };
}

/** Mirrors each image left to right with probability p. */
export function randomHorizontalFlip(p = 0.5, options?: TransformTarget): PixelTransform {
  return randomFlip('randomHorizontalFlip', 'horizontal', p, options);
}

/** Mirrors each image top to bottom with probability p. */
export function randomVerticalFlip(p = 0.5, options?: TransformTarget): PixelTransform {
  return randomFlip('randomVerticalFlip', 'vertical', p, options);
}

/**
 * Adds normally distributed noise of standard deviation sigma; the result is float32. Bytes count as byte / 255
 * here too. Other noise for each array.
 */
export function gaussianNoise(sigma: number, options?: TransformTarget): PixelTransform {
  requireArgument(
    typeof sigma === 'number' && sigma >= 0 && Number.isFinite(sigma),
    'gaussianNoise',
    () => `sigma must be a finite number >= 0, got ${show(sigma)}`,
  );
  const { arrays } = withDefaults<Required<TransformTarget>>('gaussianNoise', options, {
    arrays: [0],
  });
  return { kind: 'gaussianNoise', sigma, arrays: requireTarget('gaussianNoise', arrays) };
}

/** Transforms one after the other, as a list of them is; a value to pass around. */
export function compose(...transforms: readonly Transform[]): Composed {
  return { compose: transforms };
}
