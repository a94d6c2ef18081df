// What a segmentation of Q-tips images is worth, what a network that sees only so far could reach, and how it looks.

import { fileURLToPath } from 'node:url';
import { noGrad, tensor, tidy, train } from '../../dist/index.mjs';

const CLASSES = 4;
const SHOWN = 4;

/** The predicted class of every pixel of the loader's images, one array. */
async function predict(model, loader) {
  const parts = [];
  model.eval();
  for await (const [images, labels] of loader) {
    const classes = noGrad(() => tidy(() => model.forward(images).argmax({ dim: 1 }).to('uint8')));
    parts.push(...(await classes.data()));
    for (const t of [images, labels, classes]) t.dispose();
  }
  model.train();
  return Uint8Array.from(parts);
}

/** The class (1 to 3) that most of an image's labelled pixels have; 0 where none is. */
function majority(classes) {
  const votes = [0, 0, 0, 0];
  for (const c of classes) votes[c]++;
  const best = Math.max(...votes.slice(1));
  return best === 0 ? 0 : votes.lastIndexOf(best);
}

/**
 * barAccuracy: share of the bars' pixels with the right class. imageAccuracy: share of the images where most pixels that
 * are given a class are given the right one. meanIoU over the four classes, pixelAccuracy with the background. `shown`:
 * the first images' classes as digits.
 */
export async function evaluate(model, loader, { labels }) {
  const predicted = await predict(model, loader);
  const confusion = Array.from({ length: CLASSES }, () => new Array(CLASSES).fill(0));
  predicted.forEach((p, i) => confusion[labels.data[i]][p]++);
  const total = (values) => values.reduce((a, b) => a + b, 0);
  const hits = confusion.map((row, c) => row[c]);
  const rows = confusion.map(total);
  const columns = hits.map((_, c) => total(confusion.map((row) => row[c])));
  const plane = labels.shape[1] * labels.shape[2];
  const images = Array.from({ length: labels.shape[0] }, (_, n) => {
    const own = (array) => array.subarray(n * plane, (n + 1) * plane);
    return majority(own(predicted)) === majority(own(labels.data)) ? 1 : 0;
  });
  return {
    barAccuracy: total(hits.slice(1)) / total(rows.slice(1)),
    imageAccuracy: total(images) / images.length,
    meanIoU: total(hits.map((hit, c) => hit / (rows[c] + columns[c] - hit))) / CLASSES,
    pixelAccuracy: total(hits) / total(rows),
    shown: Array.from({ length: SHOWN }, (_, n) =>
      predicted.subarray(n * plane, (n + 1) * plane).join(''),
    ),
  };
}

/**
 * The best share of the bars' pixels that can be right where each sees `radius` cells in each direction: every pixel is
 * told whether white and whether black marks are in its window, and takes the class that such pixels mostly have.
 */
export function visionBound({ images, labels }, radius) {
  const [samples, side] = labels.shape;
  const seen = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
  for (let n = 0; n < samples; n++) {
    const at = (y, x) => (n * side + y) * side + x;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const label = labels.data[at(y, x)];
        if (label === 0) continue;
        let [white, black] = [0, 0];
        for (let v = Math.max(0, y - radius); v <= Math.min(side - 1, y + radius); v++) {
          for (let u = Math.max(0, x - radius); u <= Math.min(side - 1, x + radius); u++) {
            if (images.data[at(v, u)] === 255) white = 1;
            if (images.data[at(v, u)] === 1) black = 1;
          }
        }
        seen[white + 2 * black][label]++;
      }
    }
  }
  const best = seen.reduce((sum, counts) => sum + Math.max(...counts), 0);
  return best / seen.flat().reduce((a, b) => a + b, 0);
}

/** Input, target and predictions of the first images, a row each, to docs/figures/imexnet-q-tips.png. */
export async function drawPredictions({ images, labels }, predictions) {
  const side = labels.shape[1];
  const plane = side * side;
  const picture = (values) => tensor(Float32Array.from(values), { shape: [side, side] });
  const names = Object.keys(predictions);
  const fields = Array.from({ length: SHOWN }, (_, n) => [
    picture(Array.from(images.data.subarray(n * plane, (n + 1) * plane), (v) => (3 * v) / 255)),
    picture(labels.data.subarray(n * plane, (n + 1) * plane)),
    ...names.map((name) => picture(predictions[name][n])),
  ]).flat();
  const file = new URL('../../docs/figures/imexnet-q-tips.png', import.meta.url);
  await train.saveFieldImages(fields, fileURLToPath(file), {
    ...{ columns: names.length + 2, range: [0, 3], cell: 2 },
    titles: ['input', 'target', ...names],
  });
}
