import { FluxionError, requireArgument, show } from '../errors';
import { upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import type { HostArray } from './host-array';
import { Random } from './random';

export interface MovingMnistOptions {
  /** Digits to choose from: uint8 [n, h, w], such as the images of MNIST. */
  images: Tensor | HostArray;
  /** How many sequences. Default 100. */
  sequences?: number;
  /** Default 20. */
  frames?: number;
  /** Side of the square frames. Default 64. */
  side?: number;
  /** Digits in each sequence. Default 2. */
  digits?: number;
  /** Way of a digit between two frames, as a part of the way that is free (side - h). Default 0.1. */
  step?: number;
  /** The same sequences for the same seed. Default 0. */
  seed?: number;
  /** Number of the first sequence: parts of a set can be made by themselves. Default 0. */
  first?: number;
}

/**
 * Moving MNIST (Srivastava, Mansimov and Salakhutdinov 2015, arXiv:1502.04681): digits on straight ways that bounce
 * off the frame, uint8 [sequences, frames, side, side].
 *
 * As their generator does it: start anywhere and direction are uniform; a digit moves by `step` in each frame, in units
 * of the way that is free; one that would leave stops at the wall, and its velocity is reflected there; positions
 * are rounded down to whole pixels; overlapping digits show the larger value. Sequence k depends on the seed and
 * `first` + k alone. Digits come from all of `images`: give those of the training set for training. Reading a
 * tensor of images blocks until it is there.
 *
 * @example
 * const video = data.movingMnist({ images: await data.loadIdx('train-images-idx3-ubyte'), sequences: 1000 });
 * const [past, future] = video.split(10, { dim: 1 });
 */
export function movingMnist(options: MovingMnistOptions): Tensor {
  const given = withDefaults<Required<MovingMnistOptions>>('movingMnist', options, {
    ...{ images: undefined as never, sequences: 100, frames: 20, side: 64, digits: 2 },
    ...{ step: 0.1, seed: 0, first: 0 },
  });
  const glyphs = readGlyphs(given.images);
  for (const [name, least] of [
    ['sequences', 0],
    ['frames', 1],
    ['side', Math.max(glyphs.height, glyphs.width)],
    ['digits', 0],
    ['seed', 0],
    ['first', 0],
  ] as const) {
    requireArgument(
      Number.isSafeInteger(given[name]) && given[name] >= least,
      'movingMnist',
      () => `${name} must be an integer >= ${least}, got ${show(given[name])}`,
    );
  }
  requireArgument(
    given.step >= 0 && Number.isFinite(given.step),
    'movingMnist',
    () => `step must be a finite number >= 0, got ${show(given.step)}`,
  );
  const { sequences, frames, side } = given;
  const video = new Uint8Array(sequences * frames * side * side);
  for (let k = 0; k < sequences; k++) {
    const part = video.subarray(k * frames * side * side, (k + 1) * frames * side * side);
    drawSequence(part, glyphs, given, new Random(given.seed, given.first + k));
  }
  return new Tensor(upload(video, 'uint8', [sequences, frames, side, side]));
}

interface Glyphs {
  data: Uint8Array;
  count: number;
  height: number;
  width: number;
}

function readGlyphs(images: Tensor | HostArray): Glyphs {
  const data = isTensor(images) ? images.dataSync() : images?.data;
  const shape = images?.shape ?? [];
  if (shape.length !== 3 || shape.includes(0)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'movingMnist',
      `images must have shape [n, h, w], got ${show([...shape])}`,
    );
  }
  if (data?.BYTES_PER_ELEMENT !== 1) {
    throw new FluxionError('FLUXION_DTYPE_MISMATCH', 'movingMnist', 'images must be uint8');
  }
  const [count, height, width] = shape as [number, number, number];
  return { data: data as Uint8Array, count, height, width };
}

/** Positions in [0, 1] of one coordinate: uniform motion that stops at a wall and turns. */
export function bouncingPath(start: number, velocity: number, frames: number): Float64Array {
  const path = new Float64Array(frames);
  let [x, v] = [start, velocity];
  for (let t = 0; t < frames; t++) {
    x += v;
    if (x <= 0) [x, v] = [0, Math.abs(v)];
    else if (x >= 1) [x, v] = [1, -Math.abs(v)];
    path[t] = x;
  }
  return path;
}

function drawSequence(
  video: Uint8Array,
  { data, count, height, width }: Glyphs,
  { frames, side, digits, step }: Required<MovingMnistOptions>,
  random: Random,
): void {
  for (let d = 0; d < digits; d++) {
    const glyph = random.below(count) * height * width;
    const [x, y] = [random.uniform(), random.uniform()];
    const angle = 2 * Math.PI * random.uniform();
    const xs = bouncingPath(x, step * Math.cos(angle), frames);
    const ys = bouncingPath(y, step * Math.sin(angle), frames);
    for (let t = 0; t < frames; t++) {
      const left = Math.floor((side - width) * xs[t]!);
      const top = Math.floor((side - height) * ys[t]!);
      for (let i = 0; i < height; i++) {
        const to = (t * side + top + i) * side + left;
        const from = glyph + i * width;
        for (let j = 0; j < width; j++) {
          const value = data[from + j]!;
          if (value > video[to + j]!) video[to + j] = value;
        }
      }
    }
  }
}
