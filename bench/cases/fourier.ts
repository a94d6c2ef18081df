import {
  type Tensor,
  dct,
  fft,
  irfft2,
  randn,
  rfft2,
  setNumThreads,
  tidy,
  viewAsComplex,
  viewAsReal,
} from 'fluxion';
import { type Case, TORCH, defineCase, expectClose, inputSets } from '../case';

const complexSets = (sets: number, shape: readonly number[]): Tensor[] =>
  inputSets(sets, [...shape, 2]).map((x) => viewAsComplex(x));

/** Point k of the transform of a line, in float64; step 1 real, 2 pairs. */
function point(x: ArrayLike<number>, begin: number, n: number, step: number, k: number) {
  let [re, im] = [0, 0];
  for (let j = 0; j < n; j++) {
    const angle = (-2 * Math.PI * ((j * k) % n)) / n;
    const [a, b] = [x[begin + step * j]!, step === 2 ? x[begin + step * j + 1]! : 0];
    re += a * Math.cos(angle) - b * Math.sin(angle);
    im += a * Math.sin(angle) + b * Math.cos(angle);
  }
  return [re, im] as const;
}

const flopsOf = (n: number) => 5 * n * Math.log2(n);

/** Contiguous complex lines; with one thread against FFTW, which gets one. */
function lines(name: string, sizes: { lines: number; n: number }, peers: Case['peers']): Case {
  const single = peers.includes('fftw-measure');
  return defineCase({
    name: `fft/${name}`,
    peer: 'fft-lines',
    peers,
    dtype: 'complex64',
    sizes,
    small: { lines: 3, n: sizes.n > 4096 ? 120 : sizes.n },
    floors: ({ lines, n }) => ({ bytes: 16 * lines * n, flops: lines * flopsOf(n) }),
    // FFTW's figure is the one in the cache: both get one set.
    inputBytes: ({ lines, n }) => (single ? 0 : 8 * lines * n),
    setup: ({ lines, n }, sets) => {
      if (single) setNumThreads(1);
      const z = complexSets(sets, [lines, n]);
      const run = (set: number) => fft(z[set]!);
      return {
        run,
        verify: () =>
          tidy(() => {
            const from = viewAsReal(z[0]!).dataSync();
            const to = viewAsReal(run(0)).dataSync();
            const scale = Math.sqrt(n);
            for (const line of new Set([0, lines - 1])) {
              for (const k of new Set([0, 1, n - 1, n >> 1])) {
                const at = 2 * (line * n + k);
                const [re, im] = point(from, 2 * line * n, n, 2, k);
                expectClose(`Re ${line}, ${k}`, to[at]! / scale, re / scale, 1e-5);
                expectClose(`Im ${line}, ${k}`, to[at + 1]! / scale, im / scale, 1e-5);
              }
            }
          }),
      };
    },
  });
}

interface Field extends Record<string, number> {
  n: number;
  c: number;
  h: number;
  w: number;
}

const BATCH = { n: 32, c: 64, h: 64, w: 64 };
const SMALL = { n: 1, c: 2, h: 6, w: 8 };

/** The inverse of the forward transform must be the input. */
function checkInverse(x: Tensor, back: Tensor): void {
  const [from, to] = [x.dataSync(), back.dataSync()];
  for (let i = 0; i < from.length; i += 101) expectClose(`value ${i}`, to[i]!, from[i]!, 1e-5);
}

const planes: Case<Field> = {
  name: 'rfft2/forward',
  peer: 'rfft2',
  peers: TORCH,
  dtype: 'float32',
  sizes: BATCH,
  small: SMALL,
  floors: ({ n, c, h, w }) => ({
    bytes: n * c * h * (4 * w + 8 * (w / 2 + 1)),
    flops: (n * c * h * w * 5 * Math.log2(h * w)) / 2,
  }),
  inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w,
  setup: ({ n, c, h, w }, sets) => {
    const x = inputSets(sets, [n, c, h, w]);
    return {
      run: (set) => rfft2(x[set]!),
      verify: () =>
        tidy(() => {
          const z = rfft2(x[0]!);
          checkInverse(x[0]!, irfft2(z));
          const values = x[0]!.dataSync();
          let mean = 0;
          for (let i = 0; i < h * w; i++) mean += values[i]!;
          expectClose('the first point', viewAsReal(z).dataSync()[0]! / h, mean / h, 1e-4);
        }),
    };
  },
};

const inverse = defineCase<Field>({
  ...planes,
  name: 'irfft2/forward',
  peer: 'irfft2',
  inputBytes: ({ n, c, h, w }) => 8 * n * c * h * (w / 2 + 1),
  setup: ({ n, c, h, w }, sets) => {
    const x = randn([n, c, h, w], { seed: 1 });
    const z = Array.from({ length: sets }, () => rfft2(x));
    return {
      run: (set) => irfft2(z[set]!),
      verify: () => tidy(() => checkInverse(x, irfft2(z[0]!))),
    };
  },
});

const cosine = defineCase({
  name: 'dct/lines-64',
  peer: 'dct',
  peers: TORCH,
  dtype: 'float32',
  sizes: { lines: 131072, n: 64 },
  small: { lines: 3, n: 16 },
  floors: ({ lines, n }) => ({ bytes: 8 * lines * n, flops: (lines * flopsOf(n)) / 2 }),
  inputBytes: ({ lines, n }) => 4 * lines * n,
  setup: ({ lines, n }, sets) => {
    const x = inputSets(sets, [lines, n]);
    return {
      run: (set) => dct(x[set]!),
      verify: () =>
        tidy(() => {
          const [from, to] = [x[0]!.dataSync(), dct(x[0]!).dataSync()];
          for (let k = 0; k < n; k++) {
            let y = 0;
            for (let j = 0; j < n; j++) {
              y += 2 * from[j]! * Math.cos((Math.PI * (2 * j + 1) * k) / (2 * n));
            }
            expectClose(`point ${k}`, to[k]!, y, 1e-4);
          }
        }),
    };
  },
});

export const FOURIER: readonly Case[] = [
  lines('lines-64-one-thread', { lines: 4096, n: 64 }, ['fftw-estimate', 'fftw-measure']),
  lines('lines-64', { lines: 65536, n: 64 }, TORCH),
  lines('single-1m', { lines: 1, n: 1048576 }, TORCH),
  lines('single-100003', { lines: 1, n: 100003 }, TORCH),
  defineCase(planes),
  inverse,
  cosine,
];
