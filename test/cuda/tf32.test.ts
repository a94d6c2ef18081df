// Products on tensor cores, which FLUXION_CUDA_TF32 asks for before the device is opened; scripts/cuda-host.mjs
// runs this file with 1 and with 3.
import { type Tensor, conv2d, linear, matmul, tensor, tidy } from '../../lib';
import { describeOnCuda } from './device';

const terms = process.env['FLUXION_CUDA_TF32'] ?? '0';

/** Numbers of which no bit of the mantissa is zero by chance. */
function numbers(shape: number[], device: string): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7 + 0.3)),
    { device },
  ).reshape(shape);
}

/** The largest difference from the CPU, relative to the largest value. */
function difference(run: (device: string) => Tensor): number {
  return tidy(() => {
    const [cpu, cuda] = [run('cpu').dataSync(), run('cuda').dataSync()];
    let [largest, error] = [0, 0];
    cpu.forEach((x, i) => {
      largest = Math.max(largest, Math.abs(x));
      error = Math.max(error, Math.abs(x - cuda[i]!));
    });
    return error / largest;
  });
}

const PRODUCTS: [string, (device: string) => Tensor][] = [
  ['matmul', (d) => matmul(numbers([48, 72], d), numbers([72, 136], d))],
  ['a turned matmul', (d) => matmul(numbers([130, 72], d), numbers([72, 40], d))],
  ['linear', (d) => linear(numbers([70, 100], d), numbers([66, 100], d), { activation: 'tanh' })],
  ['conv2d', (d) => conv2d(numbers([1, 16, 9, 12], d), numbers([64, 16, 3, 3], d), { padding: 1 })],
];

describeOnCuda(`products of float32 with FLUXION_CUDA_TF32 = ${terms}`, () => {
  test.each(PRODUCTS)('%s', (_, run) => {
    const error = difference(run);
    if (terms === '1') {
      expect(error).toBeGreaterThan(2 ** -18); // it was rounded
      expect(error).toBeLessThan(2 ** -7);
    } else {
      // Sums of up to 144 products in float32, in another order than the CPU's.
      expect(error).toBeLessThan(144 * 2 ** -24);
    }
  });
});
