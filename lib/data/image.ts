import type { PNG } from 'pngjs';
import { readFile } from 'node:fs/promises';
import { FluxionError, requireArgument, show } from '../errors';
import { isFloating } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { corruptFile } from './corrupt-file';
import { replaceFile } from './file-bytes';
import { pngCodec } from './png-codec';

const PNG_SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
const JPEG_SIGNATURE = Buffer.from([0xff, 0xd8, 0xff]);
/** Luma of ITU-R BT.601, as PIL's conversion to 'L'. */
const LUMA = [0.299, 0.587, 0.114] as const;
const MAX_PIXELS = 2 ** 28;
/** Deflate compresses by no more than this; a pixel of a PNG has at least one bit. */
const DEFLATE_RATIO = 1032;
/** Pixels of a byte of a JPEG at most: a block of 8 x 8 takes at least one bit. */
const JPEG_PIXELS = 512;
/** Bytes for tables, and for what an application has put into the file (at most 64 KiB a segment). */
const JPEG_TABLES = 16 << 20;

export interface LoadImageOptions {
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. Default: what the file has. */
  channels?: 1 | 2 | 3 | 4;
}

/** Interleaved RGBA bytes and what the file had. */
interface Decoded {
  rgba: Uint8Array;
  width: number;
  height: number;
  color: boolean;
  alpha: boolean;
}

/**
 * Reads a PNG or JPEG image, recognised by its content, as float32 [C, H, W] with values in [0, 1].
 *
 * Colours become grey by the luma of BT.601; alpha is dropped, not blended, unless channels is 2 or 4 (a JPEG has
 * alpha 1). 16-bit files are read with 8 bits. The pixels are as they are stored: a rotation in the EXIF data of a
 * JPEG is not applied, as in PIL and torchvision. JPEG: baseline and progressive, grey, YCbCr, CMYK.
 *
 * Errors: FLUXION_CORRUPT_FILE, also for other formats; those of the file system as Node throws them.
 */
export async function loadImage(path: string, options?: LoadImageOptions): Promise<Tensor> {
  const given = withDefaults<{ channels: number }>('loadImage', options, { channels: 0 });
  requireArgument(
    options?.channels === undefined || [1, 2, 3, 4].includes(given.channels),
    'loadImage',
    () => `channels must be 1, 2, 3 or 4, got ${show(options?.channels)}`,
  );
  const bytes = await readFile(path);
  const { rgba, width, height, color, alpha } = await decode(path, bytes);
  const channels = given.channels || (color ? 3 : 1) + (alpha ? 1 : 0);
  const values = planes(rgba, width * height, channels);
  return new Tensor(upload(values, 'float32', [channels, height, width]));
}

async function decode(path: string, bytes: Buffer): Promise<Decoded> {
  if (bytes.subarray(0, 8).equals(PNG_SIGNATURE)) return decodePng(path, bytes);
  if (bytes.subarray(0, 3).equals(JPEG_SIGNATURE)) return decodeJpeg(path, bytes);
  const got = bytes.subarray(0, 8).toString('hex');
  throw corruptFile('loadImage', path, `must begin with the signature of PNG or JPEG, got ${got}`);
}

function requireSize(path: string, width: number, height: number): void {
  if (width > 0 && height > 0 && width * height <= MAX_PIXELS) return;
  throw corruptFile(
    'loadImage',
    path,
    `must have 1 to ${MAX_PIXELS} pixels, got ${width} x ${height}`,
  );
}

/** Before memory is taken for pixels that the file cannot hold. */
function requirePixels(path: string, pixels: number, most: number): void {
  if (pixels <= most) return;
  throw corruptFile('loadImage', path, `must hold its ${pixels} pixels, got at most ${most}`);
}

function invalid(path: string, format: string, error: unknown) {
  const detail = `must be a valid ${format} image: ${(error as Error).message}`;
  return corruptFile('loadImage', path, detail, error);
}

function decodePng(path: string, bytes: Buffer): Decoded {
  if (bytes.length < 24) throw invalid(path, 'PNG', new Error('it ends in the header'));
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  requireSize(path, width, height);
  requirePixels(path, width * height, 8 * DEFLATE_RATIO * bytes.length);
  try {
    // pngjs says what the file had, outside its published type.
    const png = pngCodec().sync.read(bytes) as PNG & { color: boolean; alpha: boolean };
    const { width, height, color, alpha } = png;
    return { rgba: png.data, width, height, color, alpha };
  } catch (error) {
    throw invalid(path, 'PNG', error);
  }
}

interface JpegFrame {
  width: number;
  height: number;
  components: number;
}

/**
 * Sizes and components in the frame header (SOF0 to SOF15 without DHT, JPG and DAC) of a JPEG file; null where there is
 * none, or no scan behind it: the decoder would make a grey image of that.
 */
function jpegFrame(bytes: Buffer): JpegFrame | null {
  let frame: JpegFrame | null = null;
  for (let at = 2; at + 9 < bytes.length;) {
    if (bytes[at] !== 0xff) return null;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++; // a fill byte
    } else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const [height, width] = [bytes.readUInt16BE(at + 5), bytes.readUInt16BE(at + 7)];
      frame = { width, height, components: bytes[at + 9]! };
      at += 2 + bytes.readUInt16BE(at + 2);
    } else if (marker === 0xda) {
      return frame;
    } else {
      at += 2 + bytes.readUInt16BE(at + 2);
    }
  }
  return null;
}

/**
 * Bytes that the decoder may count for this frame: it would take those of a second frame behind the first scan, which
 * may claim any size. Of each component 4 in a coefficient and 1 in each of two planes, of sizes that are rounded up
 * to blocks of 8 times the sampling, at most 4; and RGBA.
 */
function jpegMemory({ width, height, components }: JpegFrame): number {
  const padded = Math.ceil(width / 32) * Math.ceil(height / 32) * 1024;
  return (6 * components + 4) * padded + JPEG_TABLES;
}

async function decodeJpeg(path: string, bytes: Buffer): Promise<Decoded> {
  const frame = jpegFrame(bytes);
  if (!frame)
    throw invalid(path, 'JPEG', new Error('it has no frame header with a scan behind it'));
  requireSize(path, frame.width, frame.height);
  requirePixels(path, frame.width * frame.height, JPEG_PIXELS * bytes.length);
  const jpeg = await import('jpeg-js');
  try {
    const { data, width, height } = jpeg.decode(bytes, {
      useTArray: true,
      tolerantDecoding: false,
      maxResolutionInMP: MAX_PIXELS / 1e6,
      maxMemoryUsageInMB: jpegMemory(frame) / 2 ** 20,
    });
    return { rgba: data, width, height, color: frame.components > 1, alpha: false };
  } catch (error) {
    throw invalid(path, 'JPEG', error);
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

export interface SaveImageOptions {
  /** Of a JPEG, 1 to 100. Default 90. */
  quality?: number;
}

/**
 * Writes a tensor [C, H, W] or [H, W] as an image: PNG, or JPEG where the path ends with .jpg or .jpeg. C = 1 grey, 3
 * RGB, 4 RGBA (PNG only). Floating-point values are clipped to [0, 1]; uint8 is written as it is. Replaces the
 * file as a whole.
 */
export async function saveImage(
  image: Tensor,
  path: string,
  options?: SaveImageOptions,
): Promise<void> {
  requireArgument(isTensor(image), 'saveImage', () => `image must be a tensor, got ${show(image)}`);
  const { quality } = withDefaults('saveImage', options, { quality: 90 });
  requireArgument(
    quality >= 1 && quality <= 100,
    'saveImage',
    () => `quality must be a number in [1, 100], got ${show(quality)}`,
  );
  const asJpeg = /\.jpe?g$/i.test(path);
  const [channels, height, width] = image.ndim === 2 ? [1, ...image.shape] : image.shape;
  const allowed = asJpeg ? [1, 3] : [1, 3, 4];
  if (![2, 3].includes(image.ndim) || !allowed.includes(channels!) || image.size === 0) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'saveImage',
      `image must have shape [H, W] or [C, H, W] with C ${allowed.join(' or ')}, got ${show([...image.shape])}`,
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
  if (!asJpeg) return savePng(rgba, width!, height!, path, channels === 1);
  const jpeg = await import('jpeg-js');
  const { data } = jpeg.encode({ data: rgba, width: width!, height: height! }, quality);
  await replaceFile(path, [data]);
}

/** Writes interleaved RGBA bytes, without colours as a grey file: a third of the size. */
export async function savePng(
  rgba: Uint8ClampedArray,
  width: number,
  height: number,
  path: string,
  grey = false,
): Promise<void> {
  const png = new (pngCodec())({ width, height });
  png.data = Buffer.from(rgba.buffer, rgba.byteOffset, rgba.byteLength);
  await replaceFile(path, [pngCodec().sync.write(png, grey ? { colorType: 0 } : {})]);
}
