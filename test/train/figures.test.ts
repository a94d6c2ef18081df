import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { PNG } from 'pngjs';
import { tensor } from '../../lib/ops';
import { saveFieldImages, saveFigure } from '../../lib/train';
import { temporaryFolder } from '../data/files';

const at = temporaryFolder();
const root = path.join(__dirname, '..', '..');

/** Runs a program in a process of its own: Jest cannot load the packages of the charts. */
async function run(program: string): Promise<void> {
  const register = path.join(root, 'test', 'register-typescript.cjs');
  await promisify(execFile)(process.execPath, ['-r', register, '-e', program], { cwd: root });
}

function pixel(png: PNG, x: number, y: number): number[] {
  return [...png.data.subarray(4 * (y * png.width + x), 4 * (y * png.width + x) + 4)];
}

test('fields become pictures in a grid', async () => {
  const fields = tensor([0, 1, NaN, 0.5, 3, 3, 3, 3], { shape: [2, 2, 2] });
  await saveFieldImages(fields, at('fields.png'), { columns: 2, cell: 3, range: [0, 1] });
  const png = PNG.sync.read(readFileSync(at('fields.png')));
  expect([png.width, png.height]).toEqual([4 + 2 * (6 + 4), 4 + 6 + 4]);
  expect(pixel(png, 4, 4)).toEqual([68, 1, 84, 255]);
  expect(pixel(png, 7, 4)).toEqual([253, 231, 37, 255]);
  expect(pixel(png, 4, 7)[3]).toBe(0);
  expect(pixel(png, 14, 4)).toEqual([253, 231, 37, 255]);
  expect(pixel(png, 0, 0)).toEqual([255, 255, 255, 255]);
});

test('the diverging map is white at zero', async () => {
  const field = tensor([-2, 0, 1], { shape: [1, 3] });
  await saveFieldImages(field, at('signed.png'), { colormap: 'diverging', cell: 1 });
  const png = PNG.sync.read(readFileSync(at('signed.png')));
  expect(pixel(png, 5, 4)).toEqual([247, 247, 247, 255]);
});

test.each([
  ['a shape', () => saveFieldImages(tensor([1]), at('x.png')), 'FLUXION_SHAPE_MISMATCH'],
  [
    'a colour map',
    () => saveFieldImages(tensor([[1]]), at('x.png'), { colormap: 'jet' as never }),
    'FLUXION_INVALID_ARGUMENT',
  ],
  [
    'a cell',
    () => saveFieldImages(tensor([[1]]), at('x.png'), { cell: 1.5 }),
    'FLUXION_INVALID_ARGUMENT',
  ],
  ['an ending', () => saveFigure([], at('x.gif')), 'FLUXION_INVALID_ARGUMENT'],
])('bad: %s', async (_, save, code) => {
  await expect(save()).rejects.toMatchObject({ code });
});

test('lines that leave the chart by far and labels without room do not end the process', async () => {
  await run(`
    const { saveFigure } = require('./lib/train');
    const values = [1e5, 1e7, -1e7, 1e12].flatMap((y, i) => [{ x: i, y: 0.5 }, { x: i + 0.5, y }]);
    const y = { field: 'y', type: 'quantitative', scale: { domain: [0, 1] } };
    const encoding = { x: { field: 'x', type: 'quantitative' }, y };
    const mark = { type: 'line', clip: true };
    const chart = { width: 200, height: 100, data: { values }, mark, encoding };
    saveFigure([{ chart }], ${JSON.stringify(at('steep.png'))});
  `);
  expect(PNG.sync.read(readFileSync(at('steep.png'))).width).toBeGreaterThan(400);
});

test('curves as PNG with text, and as SVG', async () => {
  await run(`
    const { saveCurves } = require('./lib/train');
    const losses = Array.from({ length: 1200 }, (_, i) => Math.exp(-i / 300));
    const epochs = [1, 2].map((epoch) => ({
      epoch, loss: 1 / epoch, metrics: { accuracy: 0.9 }, validation: { loss: 1, accuracy: 0.8 },
      learningRate: 0.1, seconds: 1,
    }));
    const history = { losses, learningRates: losses, epochs, aborted: false };
    saveCurves(history, ${JSON.stringify(at('curves.png'))});
    saveCurves(history, ${JSON.stringify(at('curves.svg'))});
  `);
  const svg = readFileSync(at('curves.svg'), 'utf8');
  for (const word of ['training', 'validation', 'accuracy', 'learning rate'])
    expect(svg).toContain(word);
  const png = PNG.sync.read(readFileSync(at('curves.png')));
  expect(png.width).toBeGreaterThan(800);
  const dark = png.data.filter((value, i) => i % 4 === 0 && value < 100).length;
  expect(dark).toBeGreaterThan(1000); // text and axes
});

test('a missing package is named', async () => {
  jest.doMock('@resvg/resvg-js', () => {
    throw new Error('Cannot find module');
  });
  const save = saveFieldImages(tensor([[1, 2]]), at('titled.png'), { titles: ['a'] });
  await expect(save).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
  await expect(save).rejects.toThrow('npm install @resvg/resvg-js');
});
