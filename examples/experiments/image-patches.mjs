// Patches of real grey images as batches: train400 for training, set12 for validation, values in [-1, 1].

import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { data, rand, tensor } from '../../dist/index.mjs';

/** Where the images lie unless told otherwise: a folder with train400 and set12. */
export const IMAGES = fileURLToPath(new URL('../../../shared/data/images', import.meta.url));

/** All PNG images of a folder, in the order of their names: { values, width, height }, black -1 and white 1. */
async function loadImages(folder) {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.png')).sort();
  if (names.length === 0) throw new Error(`${folder} must hold PNG images`);
  const images = [];
  for (const name of names) {
    const image = await data.loadImage(path.join(folder, name), { channels: 1 });
    const [, height, width] = image.shape;
    images.push({ values: image.dataSync().map((v) => 2 * v - 1), width, height });
    image.dispose();
  }
  return images;
}

/** Writes the square of `size` cells at (x, y) into `into` from `at` on, mirrored or not. */
function copyPatch({ values, width }, { x, y, size, mirrored = false }, into, at) {
  for (let row = 0; row < size; row++) {
    const from = (y + row) * width + x;
    const line = values.subarray(from, from + size);
    into.set(line, at + row * size);
    if (mirrored) into.subarray(at + row * size, at + (row + 1) * size).reverse();
  }
}

/**
 * A sampler of random patches, mirrored by chance: count => [count, 1, size, size]. The stream belongs to the seed and
 * goes on from call to call.
 */
export async function trainingPatches(folder, { size, seed }) {
  const images = await loadImages(path.join(folder, 'train400'));
  const below = integersBelow(seed);
  return (count) => {
    const values = new Float32Array(count * size * size);
    for (let n = 0; n < count; n++) {
      const image = images[below(images.length)];
      const x = below(image.width - size + 1);
      const y = below(image.height - size + 1);
      copyPatch(image, { x, y, size, mirrored: below(2) === 1 }, values, n * size * size);
    }
    return tensor(values, { shape: [count, 1, size, size] });
  };
}

/** The same patches for every run: `perImage` of each validation image, spread along its diagonal. */
export async function validationPatches(folder, { size, perImage }) {
  const images = await loadImages(path.join(folder, 'set12'));
  const values = new Float32Array(images.length * perImage * size * size);
  images.forEach((image, i) => {
    for (let k = 0; k < perImage; k++) {
      const along = (room) => Math.round(((k + 0.5) / perImage) * room);
      const place = { x: along(image.width - size), y: along(image.height - size), size };
      copyPatch(image, place, values, (i * perImage + k) * size * size);
    }
  });
  return tensor(values, { shape: [images.length * perImage, 1, size, size] });
}

/** Integers in [0, n), from draws of the library in blocks: a stream of the seed alone. */
function integersBelow(seed) {
  let block = [];
  let blocks = 0;
  let at = 0;
  return (n) => {
    if (at === block.length) {
      const drawn = rand([1 << 14], { dtype: 'float64', seed: 1e6 * (seed + 1) + blocks++ });
      block = drawn.dataSync();
      drawn.dispose();
      at = 0;
    }
    return Math.floor(block[at++] * n);
  };
}
