import { FluxionError, requireArgument, show } from '../errors';
import { type Tensor, isTensor } from '../tensor/tensor';
import { savePng } from '../data/image';

export type ColormapName = 'viridis' | 'gray' | 'diverging';

export interface FieldOptions {
  /** Pictures in a row. Default: as square as it gets. */
  columns?: number;
  /** Default 'viridis'; 'diverging' (blue, white, red) centres the range at 0. */
  colormap?: ColormapName;
  /** Values of the first and last colour. Default: of each field by itself. */
  range?: readonly [number, number];
  /** Side of a cell in pixels, an integer. Default: pictures of about 112 pixels. */
  cell?: number;
  /** A title over each picture; needs the optional package @resvg/resvg-js. */
  titles?: readonly string[];
}

/** Interleaved RGBA bytes. */
export interface Picture {
  rgba: Uint8ClampedArray;
  width: number;
  height: number;
}

export type Color = readonly [number, number, number];

// Points of the colour maps at equal distances, between which colours are interpolated linearly.
const POINTS: Record<ColormapName, readonly Color[]> = {
  // Viridis of S. van der Walt and N. Smith (2015, CC0), every 1/8.
  viridis: [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
  ],
  gray: [
    [0, 0, 0],
    [255, 255, 255],
  ],
  // Ends and middle of RdBu of C. Brewer, reversed.
  diverging: [
    [33, 102, 172],
    [146, 197, 222],
    [247, 247, 247],
    [244, 165, 130],
    [178, 24, 43],
  ],
};

/** The points of a colour map, or an error that names the others. */
function pointsOf(op: string, colormap: ColormapName): readonly Color[] {
  const points = POINTS[colormap];
  requireArgument(
    points !== undefined,
    op,
    () => `colormap must be one of ${Object.keys(POINTS).join(', ')}, got ${show(colormap)}`,
  );
  return points;
}

/** `count` colours of a map at equal distances, bytes. */
export function colorsOf(op: string, colormap: ColormapName, count: number): Color[] {
  const points = pointsOf(op, colormap);
  return Array.from({ length: count }, (_, i) => {
    const [r, g, b] = colorAt(points, i / (count - 1));
    return [Math.round(r), Math.round(g), Math.round(b)];
  });
}

/** Side of a cell in pixels: what is asked for, or pictures of about 112 pixels. */
export function cellSize(
  op: string,
  options: Pick<FieldOptions, 'cell'>,
  height: number,
  width: number,
): number {
  requireArgument(
    options.cell === undefined || (Number.isInteger(options.cell) && options.cell > 0),
    op,
    () => `cell must be an integer > 0, got ${show(options.cell)}`,
  );
  return options.cell ?? Math.max(1, Math.round(112 / Math.max(height, width)));
}

/** Pictures in a row: what is asked for, or as square as it gets. */
export function columnsOf(op: string, options: FieldOptions, pictures: number): number {
  const columns = options.columns ?? Math.ceil(Math.sqrt(pictures));
  requireArgument(
    Number.isInteger(columns) && columns > 0,
    op,
    () => `columns must be an integer > 0, got ${show(columns)}`,
  );
  return columns;
}

/** The colour of a value in [0, 1]. */
function colorAt(points: readonly Color[], value: number): Color {
  const at = Math.min(Math.max(value, 0), 1) * (points.length - 1);
  const i = Math.min(Math.floor(at), points.length - 2);
  const t = at - i;
  const mix = (k: 0 | 1 | 2) => points[i]![k] * (1 - t) + points[i + 1]![k] * t;
  return [mix(0), mix(1), mix(2)];
}

/** The fields as pictures: [H, W] one, [N, H, W] one for each n. */
export async function paintFields(
  fields: readonly Tensor[],
  options: Omit<FieldOptions, 'titles'> = {},
): Promise<{ pictures: Picture[]; columns: number }> {
  const { colormap = 'viridis', range } = options;
  const points = pointsOf('saveFieldImages', colormap);
  const pictures: Picture[] = [];
  for (const field of fields) {
    if (!isTensor(field) || (field.ndim !== 2 && field.ndim !== 3) || field.size === 0) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        'saveFieldImages',
        `a field must have shape [H, W] or [N, H, W], got ${show(isTensor(field) ? [...field.shape] : field)}`,
      );
    }
    const [height, width] = field.shape.slice(-2) as [number, number];
    const values = await field.data();
    const cell = cellSize('saveFieldImages', options, height, width);
    for (let at = 0; at < values.length; at += width * height) {
      const plane = values.subarray(at, at + width * height);
      pictures.push(
        paint(plane, width, cell, points, range ?? rangeOf(plane, colormap === 'diverging')),
      );
    }
  }
  requireArgument(pictures.length > 0, 'saveFieldImages', 'there must be at least one field');
  return { pictures, columns: columnsOf('saveFieldImages', options, pictures.length) };
}

/** Smallest and largest value; symmetric about 0 where asked. */
export function rangeOf(values: ArrayLike<number>, symmetric: boolean): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i]! < low) low = values[i]!;
    if (values[i]! > high) high = values[i]!;
  }
  if (!symmetric) return [low, high];
  const limit = Math.max(Math.abs(low), Math.abs(high));
  return [-limit, limit];
}

/** NaN becomes transparent. */
function paint(
  values: ArrayLike<number>,
  columns: number,
  cell: number,
  points: readonly Color[],
  [low, high]: readonly [number, number],
): Picture {
  const width = columns * cell;
  const height = (values.length / columns) * cell;
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) continue;
    const color = [...colorAt(points, high > low ? (value - low) / (high - low) : 0.5), 255];
    const corner = Math.floor(i / columns) * cell * width + (i % columns) * cell;
    for (let y = 0; y < cell; y++) {
      for (let x = 0; x < cell; x++) rgba.set(color, 4 * (corner + y * width + x));
    }
  }
  return { rgba, width, height };
}

/** Writes pictures in a grid as a PNG, on white with a small gap. */
export async function savePictureGrid(
  pictures: readonly Picture[],
  columns: number,
  file: string,
): Promise<void> {
  const gap = 4;
  const cellWidth = Math.max(...pictures.map(({ width }) => width)) + gap;
  const cellHeight = Math.max(...pictures.map(({ height }) => height)) + gap;
  const width = Math.min(columns, pictures.length) * cellWidth + gap;
  const height = Math.ceil(pictures.length / columns) * cellHeight + gap;
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  pictures.forEach((picture, i) => {
    const left = gap + (i % columns) * cellWidth;
    const top = gap + Math.floor(i / columns) * cellHeight;
    for (let y = 0; y < picture.height; y++) {
      const row = picture.rgba.subarray(4 * y * picture.width, 4 * (y + 1) * picture.width);
      rgba.set(row, 4 * ((top + y) * width + left));
    }
  });
  await savePng(rgba, width, height, file, isGrey(rgba));
}

/** Whether every pixel is opaque and without colour. */
function isGrey(rgba: Uint8ClampedArray): boolean {
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2] || rgba[i + 3] !== 255) return false;
  }
  return true;
}
