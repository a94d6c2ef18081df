import { FluxionError, show } from '../errors';
import { type Allocate, type HostArray, countOf } from './host-array';
import { type BatchPlace, type PixelTransform, sampleRandom } from './transform';

// The built-in transforms on host arrays [N, H, W] or [N, C, ..., H, W]. Arithmetic is that of float32, step by
// step, so that the device gives the same bits where it takes over (device-normalize.ts).

/** Applies stage number `stage` to a batch. */
export function applyPixelTransform(
  transform: PixelTransform,
  batch: readonly HostArray[],
  place: BatchPlace,
  stage: number,
  allocate: Allocate,
): HostArray[] {
  const changed = [...batch];
  for (const position of transform.arrays) {
    const images = requireImages(transform.kind, batch[position]);
    changed[position] =
      transform.kind === 'gaussianNoise'
        ? addNoise(images, transform.sigma, place, [stage, position], allocate)
        : applyTo(transform, images, place, stage, allocate);
  }
  return changed;
}

function applyTo(
  transform: Exclude<PixelTransform, { kind: 'gaussianNoise' }>,
  images: HostArray,
  place: BatchPlace,
  stage: number,
  allocate: Allocate,
): HostArray {
  switch (transform.kind) {
    case 'normalize':
      return normalizeArray(images, transform, allocate);
    case 'randomCrop':
      return crop(images, transform, place, stage, allocate);
    case 'flip':
      return flip(images, transform, place, stage, allocate);
  }
}

function requireImages(op: string, images: HostArray | undefined): HostArray {
  if (images && images.shape.length >= 3) return images;
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    op,
    `the array of a batch must be images [N, H, W] or [N, C, H, W], got ${show(images && [...images.shape])}`,
  );
}

/** The shape with a dimension of one channel where there is none. */
export function withChannels([n, ...rest]: readonly number[]): number[] {
  return rest.length === 2 ? [n!, 1, ...rest] : [n!, ...rest];
}

/** Values for each channel: one for all, or one for each. */
export function perChannel(name: string, values: readonly number[], channels: number): number[] {
  if (values.length === 1) return new Array<number>(channels).fill(values[0]!);
  if (values.length === channels) return [...values];
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    'normalize',
    `${name} must have one value or one for each of the ${channels} channels, got ${values.length}`,
  );
}

const NO_FLOATS = new Float32Array(0);

function normalizeArray(
  { data, shape: given }: HostArray,
  { mean, std }: { mean: readonly number[]; std: readonly number[] },
  allocate: Allocate,
): HostArray {
  const shape = withChannels(given);
  const channels = shape[1]!;
  const [means, stds] = [perChannel('mean', mean, channels), perChannel('std', std, channels)];
  const result = allocate(NO_FLOATS, data.length);
  const plane = countOf(shape.slice(2));
  const bytes = data.BYTES_PER_ELEMENT === 1;
  for (let at = 0, p = 0; at < data.length; at += plane, p++) {
    const [m, s] = [Math.fround(means[p % channels]!), Math.fround(stds[p % channels]!)];
    for (let i = at; i < at + plane; i++) {
      const value = bytes ? Math.fround(data[i]! / 255) : Math.fround(data[i]!);
      result[i] = Math.fround(value - m) / s;
    }
  }
  return { data: result, shape };
}

function crop(
  { data, shape }: HostArray,
  { size, padding }: { size: readonly [number, number]; padding: number },
  place: BatchPlace,
  stage: number,
  allocate: Allocate,
): HostArray {
  const [height, width] = shape.slice(-2) as [number, number];
  const [rows, columns] = size;
  const [slackY, slackX] = [height + 2 * padding - rows, width + 2 * padding - columns];
  if (slackY < 0 || slackX < 0) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'randomCrop',
      `size must fit into images of ${height} x ${width} with padding ${padding}, got ${rows} x ${columns}`,
    );
  }
  const planes = countOf(shape.slice(1, -2));
  const result = allocate(data, shape[0]! * planes * rows * columns);
  result.fill(0);
  for (let n = 0; n < shape[0]!; n++) {
    const random = sampleRandom(place, n, stage);
    const top = random.below(slackY + 1) - padding;
    const left = random.below(slackX + 1) - padding;
    const [x0, x1] = [Math.max(0, -left), Math.min(columns, width - left)];
    for (let p = n * planes; p < (n + 1) * planes; p++) {
      for (let y = Math.max(0, -top); y < Math.min(rows, height - top); y++) {
        const from = (p * height + y + top) * width + left;
        const to = (p * rows + y) * columns;
        for (let x = x0; x < x1; x++) result[to + x] = data[from + x]!;
      }
    }
  }
  return { data: result, shape: [...shape.slice(0, -2), rows, columns] };
}

function flip(
  { data, shape }: HostArray,
  { axis, p }: { axis: 'horizontal' | 'vertical'; p: number },
  place: BatchPlace,
  stage: number,
  allocate: Allocate,
): HostArray {
  const [height, width] = shape.slice(-2) as [number, number];
  const sample = countOf(shape.slice(1));
  const result = allocate(data, data.length);
  for (let n = 0; n < shape[0]!; n++) {
    const [begin, end] = [n * sample, (n + 1) * sample];
    if (sampleRandom(place, n, stage).uniform() >= p) {
      result.set(data.subarray(begin, end), begin);
    } else if (axis === 'horizontal') {
      for (let at = begin; at < end; at += width) {
        for (let x = 0; x < width; x++) result[at + x] = data[at + width - 1 - x]!;
      }
    } else {
      for (let at = begin; at < end; at += height * width) {
        for (let y = 0; y < height; y++) {
          const from = at + (height - 1 - y) * width;
          result.set(data.subarray(from, from + width), at + y * width);
        }
      }
    }
  }
  return { data: result, shape };
}

function addNoise(
  { data, shape }: HostArray,
  sigma: number,
  place: BatchPlace,
  name: readonly [stage: number, position: number],
  allocate: Allocate,
): HostArray {
  const result = allocate(NO_FLOATS, data.length);
  const sample = countOf(shape.slice(1));
  const scale = data.BYTES_PER_ELEMENT === 1 ? 255 : 1;
  for (let n = 0; n < shape[0]!; n++) {
    const random = sampleRandom(place, n, ...name);
    for (let i = n * sample; i < (n + 1) * sample; i++) {
      result[i] = Math.fround(data[i]! / scale) + Math.fround(sigma * random.normal());
    }
  }
  return { data: result, shape };
}
