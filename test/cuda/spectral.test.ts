// Spectral operators at sizes that only the device's own paths know: lines beyond a block's shared memory, large
// primes, planes and volumes that do not fit into one block, batches in parts.
import {
  type Tensor,
  dct,
  dst,
  fft,
  idct,
  ifft,
  irfft,
  meshFreeConv1d,
  meshFreeConv2d,
  rfft,
  spectralDiffusion1d,
  spectralDiffusion2d,
  spectralDiffusion3d,
  stencilDiffusion2d,
  tensor,
  tidy,
  viewAsComplex,
  viewAsReal,
} from '../../lib';
import { expectClose } from '../cases/case';
import { describeOnCuda } from './device';

type Shape = readonly number[];
type DType = 'float32' | 'float64';

/** Numbers in [-1, 1] (or [low, 1]) that look random. */
function field(shape: Shape, dtype: DType, device: string, low = -1): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float64Array.from({ length: size }, (_, i) => {
    const x = Math.sin(i * 12.9898 + 4.1) * 43758.5453;
    return Math.fround(low + (1 - low) * (x - Math.floor(x)));
  });
  return tensor(data, { shape, dtype, device });
}

interface Check {
  name: string;
  inputs: readonly { shape: Shape; low?: number }[];
  run: (...inputs: Tensor[]) => Tensor;
  /** Errors in float32, relative to the norm of what is summed. */
  tolerance?: number;
}

const fourier = (name: string, shape: Shape, run: (x: Tensor) => Tensor): Check => ({
  name: `${name} [${shape.join(', ')}]`,
  inputs: [{ shape }],
  run,
  tolerance: 2e-6 * Math.sqrt(Math.max(...shape)),
});
const complex = (run: (z: Tensor) => Tensor) => (x: Tensor) => viewAsReal(run(viewAsComplex(x)));

// 4096 points are the most that a block holds; 4099 is prime; 5000 and 4200 split; 8192 = 2 x 4096 / 64 x 128.
// With FLUXION_CUDA_SHARED=2 a block of the host execution layer holds some 100: 30011 (prime) and 32768 are split
// twice, as lines beyond 2^24 are with the memory of a GPU.
const LINES: Check[] = [
  ...[30011, 32768].map((n) =>
    fourier(
      'fft',
      [1, n, 2],
      complex((z) => fft(z, { dim: 1 })),
    ),
  ),
  ...[4096, 4099, 5000, 8192].map((n) =>
    fourier(
      'fft',
      [2, n, 2],
      complex((z) => fft(z)),
    ),
  ),
  fourier(
    'ifft',
    [1, 8200, 2],
    complex((z) => ifft(z)),
  ),
  fourier(
    'fft along a strided axis',
    [4200, 3, 2],
    complex((z) => fft(z, { dim: 0 })),
  ),
  fourier(
    'fft along an axis with neighbours',
    [1030, 40, 2],
    complex((z) => fft(z, { dim: 0 })),
  ),
  ...[8198, 10000, 9999].map((n) => fourier('rfft', [2, n], (x) => viewAsReal(rfft(x)))),
  fourier('irfft', [2, 5001, 2], (x) => irfft(viewAsComplex(x))),
  fourier('irfft of odd length', [1, 5000, 2], (x) => irfft(viewAsComplex(x), { n: 9999 })),
  fourier('dct', [2, 10007], (x) => dct(x)),
  fourier('idct', [2, 10000], (x) => idct(x)),
  fourier('dct type 4', [1, 10001], (x) => dct(x, { type: 4 })),
  fourier('dst type 1', [1, 9000], (x) => dst(x, { type: 1 })),
];

const BOUNDARIES = ['periodic', 'neumann', 'dirichlet'] as const;
const DIFFUSION: Check[] = BOUNDARIES.flatMap((boundary, i): Check[] => {
  const scheme = (['backward-euler', 'crank-nicolson', 'exponential'] as const)[i]!;
  return [
    {
      name: `lines beyond a block, ${boundary}`,
      inputs: [{ shape: [1, 2, 9001 + i] }, { shape: [2], low: 0.2 }],
      run: (u, k) => spectralDiffusion1d(u, k, { dt: 0.4, boundary, scheme }),
    },
    {
      name: `planes in tiles, ${boundary}`,
      inputs: [{ shape: [1, 2, 250, 244 + i] }, { shape: [2, 2], low: 0.2 }],
      run: (u, k) => spectralDiffusion2d(u, k, { dt: 0.4, dx: 0.9, boundary, scheme }),
    },
    {
      name: `volumes of fused planes, ${boundary}`,
      inputs: [{ shape: [1, 1, 40, 41, 44] }, { shape: [1, 3], low: 0.2 }],
      run: (u, k) => spectralDiffusion3d(u, k, { dt: 0.4, dx: 0.9, boundary, scheme }),
    },
    {
      name: `planes of long lines, ${boundary}`,
      inputs: [{ shape: [1, 1, 3, 9001 + i] }, { shape: [1, 2], low: 0.2 }],
      run: (u, k) => spectralDiffusion2d(u, k, { dt: 0.4, boundary, scheme }),
    },
  ];
});

const OTHERS: Check[] = [
  {
    name: 'a stencil on a plane beyond a block',
    inputs: [{ shape: [1, 2, 243, 260] }, { shape: [2, 3, 3] }],
    run: (u, stencil) => stencilDiffusion2d(u, stencil, { dt: 0.7 }),
    tolerance: 2e-5,
  },
  {
    name: 'a mesh-free convolution of planes beyond a block',
    inputs: [{ shape: [2, 2, 245, 250] }, { shape: [2, 2, 6] }],
    run: (u, weight) => meshFreeConv2d(u, weight, { length: [250, 245] }),
    tolerance: 5e-5,
  },
  {
    name: 'a mesh-free convolution of long lines',
    inputs: [{ shape: [3, 1, 9001] }, { shape: [2, 1, 4] }],
    run: (u, weight) => meshFreeConv1d(u, weight, { length: 9001 }),
    tolerance: 5e-5,
  },
];

function evaluate(c: Check, dtype: DType, device: string): Tensor[] {
  const inputs = c.inputs.map(({ shape, low }) => field(shape, dtype, device, low));
  for (const t of inputs) t.requiresGrad = true;
  const result = c.run(...inputs);
  result.backward(field(result.shape, dtype, device));
  return [result, ...inputs.map((t) => t.grad!)];
}

/** Differences are relative to the largest value. */
function compare(c: Check, dtype: DType): void {
  const cpu = evaluate(c, dtype, 'cpu');
  const cuda = evaluate(c, dtype, 'cuda');
  const tolerance = dtype === 'float64' ? 1e-11 : (c.tolerance ?? 1e-5);
  cuda.forEach((t, i) => {
    const expected = cpu[i]!.dataSync() as Float64Array;
    const scale = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 1);
    expectClose(
      Array.from(t.dataSync() as Float64Array, (x) => x / scale),
      Array.from(expected, (x) => x / scale),
      tolerance,
      `${c.name}, ${i}`,
    );
  });
}

describeOnCuda.each(['float64', 'float32'] as const)(
  'spectral operators of large sizes, %s',
  (dtype) => {
    test.each([...LINES, ...DIFFUSION, ...OTHERS])('$name', (c) => tidy(() => compare(c, dtype)));
  },
);
