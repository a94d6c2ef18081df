// Products of float32 on the matrix unit of x86 (instruction set `amx`) against float64 and against the vectors.
import {
  type Conv2dOptions,
  type Tensor,
  abs,
  conv2d,
  grad,
  manualSeed,
  randn,
  setNumThreads,
  tensor,
  tidy,
} from '../../lib';
import { native } from '../../lib/native';

const { instructionSets, instructionSet, threads } = native.config();
const present = instructionSets.split(' ').includes('amx');
const withUnit = present ? test : test.skip;
if (!present) console.log('skipped: this machine has no matrix unit (amx)');

afterEach(() => {
  native.setInstructionSet(instructionSet);
  setNumThreads(threads);
});

function on(isa: string, f: () => Tensor): Float32Array {
  native.setInstructionSet(isa);
  return tidy(() => f().dataSync() as Float32Array).slice();
}

/** Largest error over the sum of the magnitudes of the products. */
function errorOf(isa: string, x: Tensor, weight: Tensor, options: Conv2dOptions = {}): number {
  const y = on(isa, () => conv2d(x, weight, options));
  return tidy(() => {
    const [wide, w] = [x.to('float64'), weight.to('float64')];
    const widened = { ...options };
    if (options.bias) widened.bias = options.bias.to('float64');
    if (options.residual) widened.residual = options.residual.to('float64');
    const exact = conv2d(wide, w, widened).dataSync();
    const size = conv2d(abs(wide), abs(w), { groups: options.groups }).dataSync();
    return y.reduce((worst, v, i) => Math.max(worst, Math.abs(v - exact[i]!) / (size[i]! + 1)), 0);
  });
}

withUnit('is as exact as with FMAs', () => {
  manualSeed(7);
  for (const [n, c, h, w, m] of [
    [8, 64, 16, 32, 64],
    [3, 96, 33, 31, 100],
    [40, 24, 7, 7, 32],
    [2, 512, 40, 40, 64],
  ] as const) {
    const [x, weight] = [randn([n, c, h, w]), randn([m, c, 1, 1])];
    expect(errorOf('amx', x, weight)).toBeLessThan(Math.max(1.5e-7, errorOf('avx512', x, weight)));
  }
});

withUnit('with bias, residual, activation and groups', () => {
  manualSeed(8);
  const [x, weight] = [randn([3, 64, 16, 22]), randn([64, 32, 1, 1])];
  const options = { groups: 2, bias: randn([64]), residual: randn([3, 64, 16, 22]) };
  for (const activation of [undefined, 'relu', 'gelu'] as const) {
    expect(errorOf('amx', x, weight, { ...options, activation })).toBeLessThan(3e-7);
  }
});

withUnit('outputs larger than the cache, and any number of threads', () => {
  manualSeed(9);
  const [x, weight] = [randn([18, 32, 64, 64]), randn([32, 32, 1, 1])];
  expect(errorOf('amx', x, weight)).toBeLessThan(2.5e-7);
  const bits = [1, 2, 5].map((n) => {
    setNumThreads(n);
    return Buffer.from(on('amx', () => conv2d(x, weight)).buffer);
  });
  expect(bits[1]!.equals(bits[0]!) && bits[2]!.equals(bits[0]!)).toBe(true);
});

withUnit('the gradient in x', () => {
  manualSeed(10);
  const [x, weight] = [randn([4, 64, 12, 12]), randn([96, 64, 1, 1])];
  const gradient = (input: Tensor, w: Tensor) =>
    grad((v: Tensor) => conv2d(v, w).square().sum())(input)[0]!;
  const found = on('amx', () => gradient(x, weight));
  const exact = on('amx', () => gradient(x.to('float64'), weight.to('float64')));
  const largest = exact.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  found.forEach((v, i) => expect(Math.abs(v - exact[i]!)).toBeLessThan(1e-6 * largest));
});

withUnit('what is not finite, or nearly so, comes out as from the vectors', () => {
  manualSeed(11);
  const weight = randn([64, 64, 1, 1]);
  const odd = new Uint32Array([0x7fffffff]); // a NaN that rounding to fewer digits turns into a zero
  const values = [Infinity, -Infinity, NaN, new Float32Array(odd.buffer)[0]!, 3.4028234e38];
  for (const value of values) {
    const data = randn([2, 64, 16, 16]).dataSync() as Float32Array;
    data[12345] = value;
    const x = tensor(data).reshape([2, 64, 16, 16]);
    expect(on('amx', () => conv2d(x, weight))).toEqual(on('avx512', () => conv2d(x, weight)));
  }
});

withUnit('small values keep their digits down to 1e-33', () => {
  manualSeed(12);
  const [x, weight] = [randn([2, 64, 16, 16]).mul(1e-30), randn([64, 64, 1, 1])];
  const scaled = on('amx', () => conv2d(x, weight).mul(1e30));
  const exact = on('avx512', () => conv2d(x.to('float64'), weight.to('float64')).mul(1e30));
  scaled.forEach((v, i) => expect(Math.abs(v - exact[i]!)).toBeLessThan(2e-5));
});
