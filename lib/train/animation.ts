import path from 'node:path';
import { FluxionError, requireArgument, show } from '../errors';
import { type Tensor, isTensor } from '../tensor/tensor';
import { replaceFile } from '../data/file-bytes';
import { withDefaults } from '../ops/define';
import { optionalPackage } from '../data/optional-package';
import {
  type Color,
  type FieldOptions,
  cellSize,
  colorsOf,
  columnsOf,
  rangeOf,
} from './field-image';
import { TITLE_HEIGHT, rasterize, svgTag, textTag } from './figure';
import { pngCodec } from '../data/png-codec';

export interface AnimationOptions extends FieldOptions {
  /** Default 10; at most 50, what viewers show. GIF counts in hundredths of a second. */
  framesPerSecond?: number;
  /** Whether it starts again at its end. Default true. */
  repeat?: boolean;
}

// The 256 colours: of the map, then greys for titles, the last of them white.
const LEVELS = 240;
const GREYS = 16;
const WHITE = LEVELS + GREYS - 1;
const GAP = 4;

const DEFAULTS: AnimationOptions & Required<Omit<AnimationOptions, 'columns' | 'range' | 'cell'>> =
  {
    ...{ framesPerSecond: 10, repeat: true, colormap: 'viridis' },
    ...{ titles: [], columns: undefined, range: undefined, cell: undefined },
  };

/** One place of the grid: all its frames, and the values of the first and last colour. */
interface Film {
  values: ArrayLike<number>;
  /** Where frame t begins. */
  start: (t: number) => number;
  height: number;
  width: number;
  range: readonly [number, number];
}

/**
 * Writes 2-d fields that change in time as an animated GIF: tensors [T, H, W], one picture that moves, or
 * [T, N, H, W], N of them side by side. Options and colours as in {@link saveFieldImages}; the range is, if not given,
 * that of a picture over all its frames. Values are shown in 240 steps of the colour map, NaN in white.
 *
 * Needs the optional package omggif, with titles @resvg/resvg-js too: FLUXION_UNSUPPORTED names what is missing.
 * FLUXION_SHAPE_MISMATCH for other shapes and for different numbers of frames.
 *
 * @example
 * await train.saveAnimation([truth, forecast], 'rollout.gif', { titles: ['truth', 'forecast'], range: [0, 1] });
 */
export async function saveAnimation(
  frames: Tensor | readonly Tensor[],
  file: string,
  options: AnimationOptions = {},
): Promise<void> {
  const { framesPerSecond, repeat, colormap, titles } = withDefaults(
    'saveAnimation',
    options,
    DEFAULTS,
  );
  requireArgument(
    path.extname(file).toLowerCase() === '.gif',
    'saveAnimation',
    () => `file must end with .gif, got ${show(file)}`,
  );
  requireArgument(
    framesPerSecond > 0 && framesPerSecond <= 50,
    'saveAnimation',
    () => `framesPerSecond must be in (0, 50], got ${show(framesPerSecond)}`,
  );
  const palette = [...colorsOf('saveAnimation', colormap, LEVELS), ...greys()];
  const { films, count } = await readFilms(isTensor(frames) ? [frames] : frames, options);
  const { GifWriter } = await optionalPackage(
    'saveAnimation',
    'animations need',
    'omggif',
    () => import('omggif'),
  );
  const layout = arrange(films, titles, options);
  const canvas = await drawTitles(layout, titles);
  const { width, height } = layout;
  const delay = Math.round(100 / framesPerSecond);
  // LZW of 8 bits: at most 12 bits a pixel, and little around it.
  const bytes = new Uint8Array(2048 + count * (64 + Math.ceil(width * height * 1.6)));
  const writer = new GifWriter(bytes, width, height, {
    palette: palette.map(([r, g, b]) => (r << 16) | (g << 8) | b),
    ...(repeat ? { loop: 0 } : {}),
  });
  for (let t = 0; t < count; t++) {
    films.forEach((film, i) => paintInto(canvas, width, film, t, layout.places[i]!));
    writer.addFrame(0, 0, width, height, canvas as unknown as number[], { delay });
  }
  await replaceFile(file, [bytes.subarray(0, writer.end())]);
}

function greys(): Color[] {
  return Array.from({ length: GREYS }, (_, i) => {
    const level = Math.round((255 * i) / (GREYS - 1));
    return [level, level, level];
  });
}

async function readFilms(
  tensors: readonly Tensor[],
  options: AnimationOptions,
): Promise<{ films: Film[]; count: number }> {
  const refuse = (requirement: string, value: unknown): never => {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'saveAnimation',
      `${requirement}, got ${show(value)}`,
    );
  };
  const films: Film[] = [];
  for (const tensor of tensors) {
    if (!isTensor(tensor) || ![3, 4].includes(tensor.ndim) || tensor.size === 0) {
      refuse('frames must be [T, H, W] or [T, N, H, W]', isTensor(tensor) ? tensor.shape : tensor);
    }
    if (tensor.shape[0] !== tensors[0]!.shape[0]) {
      refuse(
        'all frames must have one length T',
        tensors.map(({ shape }) => shape[0]),
      );
    }
    const values = await tensor.data();
    const [count, pictures] = [tensor.shape[0]!, tensor.ndim === 4 ? tensor.shape[1]! : 1];
    const [height, width] = tensor.shape.slice(-2) as [number, number];
    const plane = height * width;
    for (let n = 0; n < pictures; n++) {
      const start = (t: number) => (t * pictures + n) * plane;
      const ranges = Array.from({ length: count }, (_, t) =>
        rangeOf(values.subarray(start(t), start(t) + plane), options.colormap === 'diverging'),
      );
      const range = options.range ?? [
        Math.min(...ranges.map(([low]) => low)),
        Math.max(...ranges.map(([, high]) => high)),
      ];
      films.push({ values, start, height, width, range });
    }
  }
  if (films.length === 0) refuse('there must be at least one field', tensors);
  return { films, count: tensors[0]!.shape[0]! };
}

interface Place {
  left: number;
  top: number;
  cell: number;
}

interface Layout {
  places: Place[];
  width: number;
  height: number;
}

/** Pictures in a grid on white with a small gap, titles over each row. */
function arrange(films: Film[], titles: readonly string[], options: AnimationOptions): Layout {
  const columns = Math.min(columnsOf('saveAnimation', options, films.length), films.length);
  const cells = films.map(({ height, width }) => cellSize('saveAnimation', options, height, width));
  const cellWidth = Math.max(...films.map(({ width }, i) => width * cells[i]!)) + GAP;
  const above = titles.length > 0 ? TITLE_HEIGHT : 0;
  const cellHeight = Math.max(...films.map(({ height }, i) => height * cells[i]!)) + GAP + above;
  const places = films.map((_, i) => ({
    left: GAP + (i % columns) * cellWidth,
    top: GAP + above + Math.floor(i / columns) * cellHeight,
    cell: cells[i]!,
  }));
  const rows = Math.ceil(films.length / columns);
  return { places, width: GAP + columns * cellWidth, height: GAP + rows * cellHeight };
}

/** A white canvas of colour numbers with the titles. */
async function drawTitles(layout: Layout, titles: readonly string[]): Promise<Uint8Array> {
  const { width, height, places } = layout;
  const canvas = new Uint8Array(width * height).fill(WHITE);
  if (titles.length === 0) return canvas;
  const texts = places.map(({ left, top }, i) => textTag(titles[i] ?? '', left, top - 6));
  const white = '<rect width="100%" height="100%" fill="white"/>';
  const svg = svgTag(width, height, white + texts.join(''));
  const png = pngCodec().sync.read(Buffer.from(await rasterize(svg, 1, 'saveAnimation')));
  for (let i = 0; i < canvas.length; i++) {
    canvas[i] = LEVELS + Math.round((png.data[4 * i + 1]! * (GREYS - 1)) / 255);
  }
  return canvas;
}

function paintInto(
  canvas: Uint8Array,
  stride: number,
  film: Film,
  t: number,
  { left, top, cell }: Place,
): void {
  const { values, start, height, width } = film;
  const [low, high] = film.range;
  for (let i = 0; i < height * width; i++) {
    const value = values[start(t) + i]!;
    const share = high > low ? (value - low) / (high - low) : 0.5;
    const color = Number.isNaN(value)
      ? WHITE
      : Math.round(Math.min(Math.max(share, 0), 1) * (LEVELS - 1));
    const corner = (top + Math.floor(i / width) * cell) * stride + left + (i % width) * cell;
    for (let y = 0; y < cell; y++) {
      canvas.fill(color, corner + y * stride, corner + y * stride + cell);
    }
  }
}
