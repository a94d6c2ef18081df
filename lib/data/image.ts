import { readFile } from 'node:fs/promises';
import { PNG } from 'pngjs';
import { FluxionError, requireArgument, show } from '../errors';
import { isFloating } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { corruptFile } from './corrupt-file';
import { replaceFile } from './file-bytes';

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Luma of ITU-R BT.601, as PIL's conversion to 'L'. */
const LUMA = [0.299, 0.587, 0.114] as const;
const MAX_PIXELS = 2 ** 28;

export interface LoadImageOptions {
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. Default: what the file has. */
  channels?: 1 | 2 | 3 | 4;
}

/**
 * Reads a PNG image as float32 [C, H, W] with values in [0, 1].
 *
 * Colours become grey by the luma of BT.601; alpha is dropped, not blended, unless channels is 2 or 4.
 * 16-bit files are read with 8 bits. Errors: FLUXION_CORRUPT_FILE; those of the file system as Node throws
 * them.
 */
export async function loadImage(path: string, options: LoadImageOptions = {}): Promise<Tensor> {
  const bytes = await readFile(path);
  checkHead(path, bytes);
  let png: PNG;
  try {
    png = PNG.sync.read(bytes);
  } catch (error) {
    throw corruptFile(
      'loadImage',
      path,
      `must be a valid PNG image: ${(error as Error).message}`,
      error,
    );
  }
  // pngjs says what the file had, outside its published type.
  const { color, alpha } = png as unknown as { color: boolean; alpha: boolean };
  const channels = options.channels ?? (color ? 3 : 1) + (alpha ? 1 : 0);
  requireArgument(
    [1, 2, 3, 4].includes(channels),
    'loadImage',
    () => `channels must be 1, 2, 3 or 4, got ${show(options.channels)}`,
  );
  const { width, height, data } = png;
  const values = planes(data, width * height, channels);
  return new Tensor(upload(values, 'float32', [channels, height, width]));
}

function checkHead(path: string, bytes: Buffer): void {
  if (bytes.length < 24 || !bytes.subarray(0, 8).equals(SIGNATURE)) {
    const got = bytes.subarray(0, 8).toString('hex');
    throw corruptFile('loadImage', path, `must begin with the signature of PNG, got ${got}`);
  }
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  if (width === 0 || height === 0 || width * height > MAX_PIXELS) {
    throw corruptFile(
      'loadImage',
      path,
      `must have 1 to ${MAX_PIXELS} pixels, got ${width} x ${height}`,
    );
  }
}

/** From interleaved RGBA bytes to planes in [0, 1]. */
function planes(rgba: Uint8Array, pixels: number, channels: number): Float32Array {
  const values = new Float32Array(channels * pixels);
  const colors = channels < 3 ? 1 : 3;
  for (let i = 0; i < pixels; i++) {
    const at = 4 * i;
    if (colors === 1) {
      const [r, g, b] = [rgba[at]!, rgba[at + 1]!, rgba[at + 2]!];
      values[i] = (r === g && g === b ? r : LUMA[0] * r + LUMA[1] * g + LUMA[2] * b) / 255;
    } else {
      for (let c = 0; c < 3; c++) values[c * pixels + i] = rgba[at + c]! / 255;
    }
    if (channels > colors) values[colors * pixels + i] = rgba[at + 3]! / 255;
  }
  return values;
}

/**
 * Writes a tensor [C, H, W] or [H, W] as a PNG image: C = 1 grey, 3 RGB, 4 RGBA. Floating-point values are
 * clipped to [0, 1]; uint8 is written as it is. Replaces the file as a whole.
 */
export async function saveImage(image: Tensor, path: string): Promise<void> {
  requireArgument(isTensor(image), 'saveImage', () => `image must be a tensor, got ${show(image)}`);
  const [channels, height, width] = image.ndim === 2 ? [1, ...image.shape] : image.shape;
  if (![2, 3].includes(image.ndim) || ![1, 3, 4].includes(channels!) || image.size === 0) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'saveImage',
      `image must have shape [H, W] or [C, H, W] with C 1, 3 or 4, got ${show([...image.shape])}`,
    );
  }
  const values = await image.data();
  const scale = isFloating(image.dtype) ? 255 : 1;
  const pixels = width! * height!;
  const rgba = new Uint8ClampedArray(4 * pixels).fill(255);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 4; c++) {
      const plane = channels === 1 ? (c < 3 ? 0 : -1) : c < channels! ? c : -1;
      if (plane >= 0) rgba[4 * i + c] = values[plane * pixels + i]! * scale;
    }
  }
  await savePng(rgba, width!, height!, path);
}

/** Writes interleaved RGBA bytes. */
export async function savePng(
  rgba: Uint8ClampedArray,
  width: number,
  height: number,
  path: string,
): Promise<void> {
  const png = new PNG({ width, height });
  png.data = Buffer.from(rgba.buffer, rgba.byteOffset, rgba.byteLength);
  await replaceFile(path, [PNG.sync.write(png)]);
}
