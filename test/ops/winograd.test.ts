// Winograd's algorithm, by which float32 convolutions of 3x3 run: its error against float64, which stays with the
// direct form, and where the direct form is kept.
import { type Tensor, conv2d, tensor, tidy } from '../../lib';
import { randomFloats, sizeOf } from '../cases/case';

type DType = 'float32' | 'float64';
interface Size {
  x: number[];
  outputs: number;
  padding: number;
}

/** Evenly spread values, the weights scaled so that the results are of order one. */
function leaf(shape: number[], seed: number, dtype: DType, scale = 1): Tensor {
  const values = randomFloats(sizeOf(shape), seed, -scale, scale).map(Math.fround);
  const t = tensor(values, { shape, dtype });
  t.requiresGrad = true;
  return t;
}

/** The convolution and its two gradients. */
function evaluate({ x, outputs, padding }: Size, dtype: DType): ArrayLike<number>[] {
  return tidy(() => {
    const [n, channels, h, w] = x as [number, number, number, number];
    const input = leaf(x, 1, dtype);
    const weight = leaf([outputs, channels, 3, 3], 2, dtype, 1 / Math.sqrt(9 * channels));
    const y = conv2d(input, weight, { padding });
    const side = (size: number) => size + 2 * padding - 2;
    y.backward(leaf([n, outputs, side(h), side(w)], 3, dtype).detach());
    return [y, input.grad!, weight.grad!].map((t) => t.dataSync());
  });
}

/** Relative errors in the Euclidean and in the maximum norm. */
function errors(actual: ArrayLike<number>, exact: ArrayLike<number>): [number, number] {
  let [error, norm, worst, largest] = [0, 0, 0, 0];
  for (let i = 0; i < exact.length; i++) {
    const difference = Math.abs(actual[i]! - exact[i]!);
    error += difference ** 2;
    norm += exact[i]! ** 2;
    worst = Math.max(worst, difference);
    largest = Math.max(largest, Math.abs(exact[i]!));
  }
  return [Math.sqrt(error / norm), worst / largest];
}

describe('float32 against float64', () => {
  test.each<Size>([
    { x: [2, 64, 28, 28], outputs: 64, padding: 1 },
    { x: [3, 128, 14, 14], outputs: 64, padding: 1 },
    { x: [2, 64, 13, 17], outputs: 128, padding: 0 },
    { x: [1, 100, 9, 7], outputs: 70, padding: 2 },
  ])('$x to $outputs channels, padding $padding', (size) => {
    const exact = evaluate(size, 'float64');
    evaluate(size, 'float32').forEach((values, i) => {
      const [norm, maximum] = errors(values, exact[i]!);
      expect(norm).toBeLessThan(2e-6);
      expect(maximum).toBeLessThan(5e-6);
    });
  });
});

test('few channels stay exact: a stencil of finite differences gives integers', () => {
  tidy(() => {
    const x = tensor(
      Array.from({ length: 32 * 32 }, (_, i) => (i * 7919) % 101),
      { shape: [1, 1, 32, 32] },
    );
    const laplacian = tensor([0, 1, 0, 1, -4, 1, 0, 1, 0], { shape: [1, 1, 3, 3] });
    const values = Array.from(conv2d(x, laplacian, { padding: 1 }).dataSync());
    expect(values.every(Number.isInteger)).toBe(true);
  });
});
