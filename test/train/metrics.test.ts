import { tensor } from '../../lib/ops';
import {
  accuracy,
  confusionMatrix,
  meanAbsoluteError,
  meanIoU,
  meanIoUOf,
  meanSquaredError,
  psnr,
  relativeL2,
  relativeMisfit,
  ssim,
  topKAccuracy,
} from '../../lib/train';

const labels = (...values: number[]) => tensor(values, { dtype: 'int32' });

describe('classes', () => {
  const scores = tensor([
    [0.1, 0.7, 0.2],
    [0.5, 0.1, 0.4],
    [0.3, 0.3, 0.9],
    [0.6, 0.5, 0.1],
  ]);
  const target = labels(1, 2, 2, 1);

  test('accuracy, topKAccuracy', () => {
    expect(accuracy(scores, target).item()).toBe(0.5);
    expect(topKAccuracy(1)(scores, target).item()).toBe(0.5);
    expect(topKAccuracy(2)(scores, target).item()).toBe(1);
    expect(() => topKAccuracy(0)).toThrow('k must be an integer > 0');
  });

  test('confusionMatrix: rows are targets', async () => {
    expect(await confusionMatrix(scores, target).toArray()).toEqual([
      [0, 0, 0],
      [1, 1, 0],
      [1, 0, 1],
    ]);
  });

  test('meanIoU over the classes that occur', () => {
    // Class 0: 0 of 2, class 1: 1 of 2, class 2: 1 of 2.
    expect(meanIoU(scores, target).item()).toBeCloseTo(1 / 3, 6);
    expect(
      meanIoUOf(
        tensor([
          [2, 0, 0],
          [1, 1, 0],
          [0, 0, 0],
        ]),
      ).item(),
    ).toBeCloseTo((2 / 3 + 1 / 2) / 2, 6);
  });

  test('of pixels: scores [N, C, H, W], labels [N, H, W]', async () => {
    // Two classes; class 1 wins at the last two pixels of the first sample and the first of the second.
    const images = tensor([1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0], {
      shape: [2, 2, 2, 2],
    });
    const truth = tensor([0, 1, 1, 1, 1, 0, 0, 1], { shape: [2, 2, 2], dtype: 'uint8' });
    expect(accuracy(images, truth).item()).toBe(6 / 8);
    expect(await confusionMatrix(images, truth).toArray()).toEqual([
      [3, 0],
      [2, 3],
    ]);
    expect(meanIoU(images, truth).item()).toBeCloseTo(0.6, 6);
  });

  test('shapes that do not fit are an error', () => {
    expect(() => accuracy(scores, labels(1, 2))).toThrow('target must have shape [N, ...]');
  });
});

describe('fields', () => {
  const a = tensor([
    [1, 2],
    [3, 4],
  ]);
  const b = tensor([
    [1, 4],
    [0, 8],
  ]);

  test('errors of values', () => {
    expect(meanSquaredError(a, b).item()).toBe((4 + 9 + 16) / 4);
    expect(meanAbsoluteError(a, b).item()).toBe((2 + 3 + 4) / 4);
    expect(relativeL2(a, b).item()).toBeCloseTo((2 / Math.sqrt(17) + 5 / 8) / 2, 6);
    expect(() => relativeL2(a, tensor([1]))).toThrow('target must have shape [2, 2], got [1]');
  });

  test('relativeMisfit: of the whole batch, 1 for zeros', () => {
    expect(relativeMisfit(a, b).item()).toBeCloseTo((4 + 25) / (17 + 64), 6);
    expect(relativeMisfit(b.mul(0), b).item()).toBe(1);
    expect(relativeMisfit(a.mul(7), b.mul(7)).item()).toBeCloseTo(29 / 81, 6);
  });

  test('psnr', () => {
    const expected = (10 * Math.log10(25 / 2) + 10 * Math.log10(25 / 12.5)) / 2;
    expect(psnr(a, b, { dataRange: 5 }).item()).toBeCloseTo(expected, 4);
    expect(() => psnr(a, b, { dataRange: 0 })).toThrow('dataRange');
  });

  /** From the definition, in float64. */
  function naiveSsim(x: number[], y: number[], height: number, width: number): number {
    let [total, count] = [0, 0];
    for (let top = 0; top + 7 <= height; top++) {
      for (let left = 0; left + 7 <= width; left++) {
        const at = Array.from(
          { length: 49 },
          (_, k) => (top + Math.floor(k / 7)) * width + left + (k % 7),
        );
        const mean = (v: number[]) => at.reduce((s, i) => s + v[i]!, 0) / 49;
        const [mx, my] = [mean(x), mean(y)];
        const cov = (p: number[], q: number[], mp: number, mq: number) =>
          at.reduce((s, i) => s + (p[i]! - mp) * (q[i]! - mq), 0) / 48;
        const [c1, c2] = [0.01 ** 2, 0.03 ** 2];
        total +=
          ((2 * mx * my + c1) * (2 * cov(x, y, mx, my) + c2)) /
          ((mx * mx + my * my + c1) * (cov(x, x, mx, mx) + cov(y, y, my, my) + c2));
        count++;
      }
    }
    return total / count;
  }

  test('ssim', () => {
    const [H, W] = [12, 10];
    const x = Array.from({ length: H * W }, (_, i) => 0.5 + 0.4 * Math.sin(i * 1.7));
    const y = x.map((v, i) => v + 0.2 * Math.cos(i * i));
    const field = (v: number[]) => tensor(v, { shape: [1, 1, H, W], dtype: 'float64' });
    expect(ssim(field(x), field(y)).item()).toBeCloseTo(naiveSsim(x, y, H, W), 12);
    expect(ssim(field(x), field(x)).item()).toBeCloseTo(1, 12);
    expect(() => ssim(a, b)).toThrow('sides of at least 7');
  });

  test('ssim is a loss: its gradient is the slope along a direction', () => {
    const [H, W] = [9, 11];
    const field = (f: (i: number) => number, step = 0) =>
      tensor(
        Float64Array.from({ length: 2 * H * W }, (_, i) => f(i) + step * Math.cos(3 * i * i)),
        { shape: [2, 1, H, W] },
      );
    const start = (i: number) => 0.4 * Math.sin(i * 1.7);
    const target = field((i) => start(i) + 0.2 * Math.cos(i * i));
    const at = (step: number) => ssim(field(start, step), target, { dataRange: 2 }).item();
    const x = field(start);
    x.requiresGrad = true;
    ssim(x, target, { dataRange: 2 }).backward();
    const slope = x
      .grad!.mul(field(() => 0, 1))
      .sum()
      .item();
    expect(slope).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 8);
  });
});
