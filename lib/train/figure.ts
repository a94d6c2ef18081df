import { createRequire } from 'node:module';
import path from 'node:path';
import { requireArgument, show } from '../errors';
import { type Tensor, isTensor } from '../tensor/tensor';
import { replaceFile } from '../data/file-bytes';
import { optionalPackage } from '../data/optional-package';
import { type FieldOptions, type Picture, paintFields } from './field-image';
import { pngCodec } from '../data/png-codec';

/** A chart as JSON in the grammar of Vega-Lite. */
export type ChartSpec = Readonly<Record<string, unknown>>;

/** A chart, or 2-d fields as pictures side by side. */
export type Panel = { chart: ChartSpec } | ({ fields: Tensor | readonly Tensor[] } & FieldOptions);

interface Drawing {
  svg: string;
  width: number;
  height: number;
}

const FONT = 'DejaVu Sans';
const MARGIN = 16;
export const TITLE_HEIGHT = 18;

const optional = <T>(name: string, load: () => Promise<T>, op = 'saveFigure') =>
  optionalPackage(op, 'charts need', name, load);

/**
 * Writes panels, one below the other, as one image: SVG or PNG by the ending of `file`.
 *
 * Charts need the optional packages vega and vega-lite; PNG needs @resvg/resvg-js; FLUXION_UNSUPPORTED
 * names the one that is missing. Text in a PNG needs a font: that of the package dejavu-fonts-ttf where it
 * is installed, else those of the system. On a machine without fonts text is left out.
 */
export async function saveFigure(panels: readonly Panel[], file: string): Promise<void> {
  const ending = path.extname(file).toLowerCase();
  requireArgument(
    ending === '.png' || ending === '.svg',
    'saveFigure',
    () => `file must end with .png or .svg, got ${show(file)}`,
  );
  const drawings: Drawing[] = [];
  for (const panel of panels) {
    drawings.push('chart' in panel ? await drawChart(panel.chart) : await drawFields(panel));
  }
  const svg = stack(drawings);
  await replaceFile(file, [ending === '.svg' ? Buffer.from(svg) : await rasterize(svg)]);
}

async function drawChart(chart: ChartSpec): Promise<Drawing> {
  const vegaLite = await optional('vega-lite', () => import('vega-lite'));
  const vega = await optional('vega', () => import('vega'));
  const config = { font: FONT, background: 'white', ...(chart.config as object) };
  const { spec } = vegaLite.compile({ ...chart, config } as never);
  const view = new vega.View(vega.parse(spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  const size = (name: string) =>
    Number(new RegExp(`<svg[^>]* ${name}="([\\d.]+)"`).exec(svg)?.[1] ?? 0);
  return { svg, width: size('width'), height: size('height') };
}

async function drawFields(
  panel: { fields: Tensor | readonly Tensor[] } & FieldOptions,
): Promise<Drawing> {
  const { fields, titles = [], ...options } = panel;
  const { pictures, columns } = await paintFields(isTensor(fields) ? [fields] : fields, options);
  const gap = MARGIN / 2;
  const cellWidth = Math.max(...pictures.map(({ width }) => width)) + gap;
  const cellHeight = Math.max(...pictures.map(({ height }) => height)) + gap;
  const parts: string[] = [];
  let y = 0;
  for (let from = 0; from < pictures.length; from += columns) {
    const row = pictures.slice(from, from + columns);
    const titled = row.some((_, i) => titles[from + i]);
    if (titled) {
      row.forEach((_, i) => parts.push(textTag(titles[from + i] ?? '', i * cellWidth, y + 12)));
      y += TITLE_HEIGHT;
    }
    for (const [i, picture] of row.entries()) parts.push(imageTag(picture, i * cellWidth, y));
    y += cellHeight;
  }
  const width = Math.min(columns, pictures.length) * cellWidth;
  return { svg: svgTag(width, y, parts.join('')), width, height: y };
}

export function textTag(text: string, x: number, y: number): string {
  return `<text x="${x}" y="${y}" font-family="${FONT}" font-size="11">${escape(text)}</text>`;
}

function imageTag({ rgba, width, height }: Picture, x: number, y: number): string {
  const png = new (pngCodec())({ width, height });
  png.data = Buffer.from(rgba.buffer);
  const data = pngCodec().sync.write(png).toString('base64');
  return (
    // Cells keep their edges, also at the two pixels for each unit of a PNG, and the file stays small.
    `<image x="${x}" y="${y}" width="${width}" height="${height}" image-rendering="optimizeSpeed" ` +
    `xlink:href="data:image/png;base64,${data}"/>`
  );
}

function escape(text: string): string {
  return text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function svgTag(width: number, height: number, content: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${content}</svg>`
  );
}

/** Drawings below each other on white. */
function stack(drawings: readonly Drawing[]): string {
  const width = Math.max(0, ...drawings.map((drawing) => drawing.width)) + 2 * MARGIN;
  let y = MARGIN;
  const parts = drawings.map((drawing) => {
    const placed = drawing.svg.replace('<svg', `<svg x="${MARGIN}" y="${y}"`);
    y += drawing.height + MARGIN;
    return placed;
  });
  return svgTag(width, y, `<rect width="100%" height="100%" fill="white"/>${parts.join('')}`);
}

/**
 * An SVG without what makes resvg end the process: labels that Vega has hidden because they overlap, which it draws with
 * opacity 0, and lines that leave the picture by some 1e8 pixels, as a steep curve in a clipped chart may.
 */
function drawable(svg: string): string {
  const far = 1e6;
  const near = (number: string) => String(Math.max(-far, Math.min(far, Number(number))));
  return svg
    .replace(/<text[^>]* opacity="0"[^>]*>[^<]*<\/text>/g, '')
    .replace(/ d="[^"]*"/g, (path) => path.replace(/-?\d[\d.]*(?:e[-+]?\d+)?/g, near));
}

/** A PNG of `zoom` pixels for each unit of an SVG. */
export async function rasterize(svg: string, zoom = 2, op = 'saveFigure'): Promise<Uint8Array> {
  const { Resvg } = await optional('@resvg/resvg-js', () => import('@resvg/resvg-js'), op);
  const fontFile = findFont();
  const font = fontFile
    ? { fontFiles: [fontFile], loadSystemFonts: false, defaultFontFamily: FONT }
    : { loadSystemFonts: true };
  return new Resvg(drawable(svg), { font, fitTo: { mode: 'zoom', value: zoom } }).render().asPng();
}

function findFont(): string | undefined {
  try {
    return createRequire(__filename).resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf');
  } catch {
    return undefined;
  }
}
