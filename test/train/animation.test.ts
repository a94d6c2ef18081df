// Rollouts as GIF, decoded again: frames, size, time, colours.
import { readFileSync } from 'node:fs';
import { GifReader } from 'omggif';
import { tensor } from '../../lib/ops';
import { saveAnimation } from '../../lib/train';
import { temporaryFolder } from '../data/files';

const at = temporaryFolder();

function read(file: string) {
  const gif = new GifReader(readFileSync(file));
  const frames = Array.from({ length: gif.numFrames() }, (_, t) => {
    const rgba = new Uint8Array(4 * gif.width * gif.height);
    gif.decodeAndBlitFrameRGBA(t, rgba);
    return (x: number, y: number) => [...rgba.subarray(4 * (y * gif.width + x)).subarray(0, 4)];
  });
  return { gif, frames };
}

const FIRST = [68, 1, 84, 255];
const LAST = [253, 231, 37, 255];
const WHITE = [255, 255, 255, 255];

test('fields become frames', async () => {
  const film = tensor([0, 1, NaN, 0.5, 1, 0, 0, 2], { shape: [2, 2, 2] });
  await saveAnimation(film, at('film.gif'), { cell: 3, range: [0, 1], framesPerSecond: 20 });
  const { gif, frames } = read(at('film.gif'));
  expect([gif.numFrames(), gif.width, gif.height]).toEqual([2, 4 + 6 + 4, 4 + 6 + 4]);
  expect([gif.frameInfo(0).delay, gif.loopCount()]).toEqual([5, 0]);
  expect(frames[0]!(4, 4)).toEqual(FIRST);
  expect(frames[0]!(7, 4)).toEqual(LAST);
  expect(frames[0]!(4, 7)).toEqual(WHITE);
  expect(frames[0]!(0, 0)).toEqual(WHITE);
  expect(frames[1]!(4, 4)).toEqual(LAST);
  expect(frames[1]!(9, 9)).toEqual(LAST);
});

test('several in a grid, each with a range of all its frames', async () => {
  const a = tensor([0, 1, 2, 4], { shape: [4, 1, 1] });
  const pair = tensor([-1, 0, 0, 0, 1, 0, 2, 0], { shape: [4, 2, 1, 1] });
  await saveAnimation([a, pair], at('grid.gif'), { cell: 2, columns: 2, repeat: false });
  const { gif, frames } = read(at('grid.gif'));
  expect([gif.numFrames(), gif.width, gif.height]).toEqual([4, 4 + 2 * 6, 4 + 2 * 6]);
  expect(gif.loopCount()).toBeNull();
  expect(frames[0]!(4, 4)).toEqual(FIRST);
  expect(frames[3]!(4, 4)).toEqual(LAST);
  expect(frames[3]!(10, 4)).toEqual(LAST);
  // A constant film is in the middle of the map.
  expect(frames[0]!(4, 10)).toEqual(frames[3]!(4, 10));
});

test('the diverging map is white at zero', async () => {
  const film = tensor([-2, 0, 0, 1], { shape: [2, 1, 2] });
  await saveAnimation(film, at('signed.gif'), { colormap: 'diverging', cell: 1 });
  const [near] = [read(at('signed.gif')).frames[0]!(5, 4)];
  near.forEach((byte) => expect(byte).toBeGreaterThan(244));
});

test('large frames of noise fit', async () => {
  const noise = Float32Array.from({ length: 3 * 200 * 200 }, (_, i) => Math.sin(i * i));
  const film = tensor(noise, { shape: [3, 200, 200] });
  await saveAnimation(film, at('noise.gif'), { cell: 1, colormap: 'gray', range: [-1, 1] });
  const { frames } = read(at('noise.gif'));
  expect(frames).toHaveLength(3);
  for (const i of [0, 12_345, 39_999]) {
    const [shown] = frames[2]!(4 + (i % 200), 4 + Math.floor(i / 200));
    expect(Math.abs(shown! - (255 * (noise[80_000 + i]! + 1)) / 2)).toBeLessThan(1.5);
  }
});

test.each([
  ['a shape', () => saveAnimation(tensor([[1]]), at('x.gif')), 'FLUXION_SHAPE_MISMATCH'],
  [
    'lengths that differ',
    () =>
      saveAnimation(
        [tensor([1, 2], { shape: [2, 1, 1] }), tensor([1], { shape: [1, 1, 1] })],
        at('x.gif'),
      ),
    'FLUXION_SHAPE_MISMATCH',
  ],
  ['an ending', () => saveAnimation(tensor([[[1]]]), at('x.png')), 'FLUXION_INVALID_ARGUMENT'],
  [
    'a rate',
    () => saveAnimation(tensor([[[1]]]), at('x.gif'), { framesPerSecond: 0 }),
    'FLUXION_INVALID_ARGUMENT',
  ],
  [
    'a colour map',
    () => saveAnimation(tensor([[[1]]]), at('x.gif'), { colormap: 'jet' as never }),
    'FLUXION_INVALID_ARGUMENT',
  ],
  [
    'an option',
    () => saveAnimation(tensor([[[1]]]), at('x.gif'), { fps: 1 } as never),
    'FLUXION_INVALID_ARGUMENT',
  ],
])('bad: %s', async (_, save, code) => {
  await expect(save()).rejects.toMatchObject({ code });
});

test('a missing package is named', async () => {
  jest.doMock('omggif', () => {
    throw new Error('Cannot find module');
  });
  const save = saveAnimation(tensor([[[1]]]), at('x.gif'));
  await expect(save).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
  await expect(save).rejects.toThrow('npm install omggif');
});
