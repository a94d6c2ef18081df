import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import { sizeOf } from '../tensor/shape';
import type { HostArray, Transform } from './data-loader';

function requireImages(op: string, images: HostArray | undefined): asserts images is HostArray {
  requireArgument(
    images !== undefined && (images.shape.length === 3 || images.shape.length === 4),
    op,
    () =>
      `the first array of a batch must be images [N, H, W] or [N, C, H, W], got ${show(images?.shape)}`,
  );
}

/** With a dimension of one channel where there is none. */
function withChannels([n, ...rest]: readonly number[]): number[] {
  return rest.length === 2 ? [n!, 1, ...rest] : [n!, ...rest];
}

/**
 * Bytes 0..255 of images [N, H, W] or [N, C, H, W], the first array of the batch, to float32 [N, C, H, W]:
 * (byte / 255 - mean) / std.
 */
export function scaleImages(options?: { mean?: number; std?: number }): Transform {
  const { mean, std } = withDefaults('scaleImages', options, { mean: 0, std: 1 });
  requireArgument(std > 0, 'scaleImages', () => `std must be a number > 0, got ${show(std)}`);
  return ([images, ...rest]) => {
    requireImages('scaleImages', images);
    const data = new Float32Array(images.data);
    for (let i = 0; i < data.length; i++) data[i] = (data[i]! / 255 - mean) / std;
    return [{ data, shape: withChannels(images.shape) }, ...rest];
  };
}

/** Adds normally distributed noise of standard deviation `std` to the first array, float32 or float64. */
export function addNoise(std: number): Transform {
  requireArgument(std >= 0, 'addNoise', () => `std must be a number >= 0, got ${show(std)}`);
  return ([images, ...rest], random) => {
    requireImages('addNoise', images);
    const data = images.data.slice();
    for (let i = 0; i < data.length; i++) data[i] = data[i]! + std * random.normal();
    return [{ data, shape: images.shape }, ...rest];
  };
}

export interface ShiftFlipOptions {
  /** Largest shift along each axis, in pixels; zeros come in at the border. Default 2. */
  shift?: number;
  /** Mirrors half of the images left to right. Default true. */
  flip?: boolean;
}

/** Augmentation: shifts and mirrors each image of the first array, all its channels alike. */
export function shiftFlip(options?: ShiftFlipOptions): Transform {
  const { shift, flip } = withDefaults('shiftFlip', options, { shift: 2, flip: true });
  requireArgument(
    Number.isInteger(shift) && shift >= 0,
    'shiftFlip',
    () => `shift must be an integer >= 0, got ${show(shift)}`,
  );
  return ([images, ...rest], random) => {
    requireImages('shiftFlip', images);
    const [width, height] = [images.shape.at(-1)!, images.shape.at(-2)!];
    const planes = sizeOf(images.shape.slice(1, -2));
    const data = images.data.slice().fill(0);
    for (let n = 0; n < images.shape[0]!; n++) {
      const move = {
        dx: random.below(2 * shift + 1) - shift,
        dy: random.below(2 * shift + 1) - shift,
        mirrored: flip && random.below(2) === 1,
      };
      for (let c = 0; c < planes; c++) {
        movePlane(images.data, data, (n * planes + c) * width * height, width, height, move);
      }
    }
    return [{ data, shape: images.shape }, ...rest];
  };
}

function movePlane(
  from: ArrayLike<number>,
  to: { [i: number]: number },
  offset: number,
  width: number,
  height: number,
  { dx, dy, mirrored }: { dx: number; dy: number; mirrored: boolean },
): void {
  for (let y = Math.max(0, dy); y < Math.min(height, height + dy); y++) {
    const row = offset + (y - dy) * width;
    for (let x = Math.max(0, dx); x < Math.min(width, width + dx); x++) {
      const source = mirrored ? width - 1 - (x - dx) : x - dx;
      to[offset + y * width + x] = from[row + source]!;
    }
  }
}
