// Transforms of every length up to 256 and of large primes: against sums in float64, and by what only the
// right transform does (Parseval, shifts, single modes, inverses). Norms, cropping, errors.
import {
  type FluxionError,
  type Tensor,
  dct,
  dst,
  fft,
  fftfreq,
  fftn,
  grad,
  idct,
  idst,
  ifft,
  ifftn,
  irfft,
  irfftn,
  mul,
  real,
  rfft,
  rfftfreq,
  rfftn,
  sum,
  tensor,
  tidy,
  viewAsComplex,
  viewAsReal,
} from '../../lib';
import { randomFloats } from '../cases/case';

type Precision = 'float32' | 'float64';
const LIMIT = { float32: 1e-6, float64: 1e-13 };

const complexOf = (values: Float64Array, shape: readonly number[], dtype: Precision) =>
  viewAsComplex(tensor(values, { shape: [...shape, 2], dtype }));
const pairs = (z: Tensor) => viewAsReal(z).dataSync();

function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, total] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    total += b[i]! ** 2;
  }
  return Math.sqrt(difference / total);
}

/** Points `ks` of the transform of pairs, in float64. */
function direct(z: Float64Array, n: number, ks: readonly number[]): Float64Array {
  const roots = Float64Array.from({ length: 2 * n }, (_, i) => {
    const angle = (-2 * Math.PI * (i >> 1)) / n;
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
  const out = new Float64Array(2 * ks.length);
  ks.forEach((k, at) => {
    for (let j = 0; j < n; j++) {
      const t = (j * k) % n;
      const [c, s] = [roots[2 * t]!, roots[2 * t + 1]!];
      out[2 * at]! += z[2 * j]! * c - z[2 * j + 1]! * s;
      out[2 * at + 1]! += z[2 * j]! * s + z[2 * j + 1]! * c;
    }
  });
  return out;
}

function squares(a: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! ** 2;
  return total;
}

describe.each(['float32', 'float64'] as const)('%s', (dtype) => {
  test('every length 1 ... 256', () => {
    for (let n = 1; n <= 256; n++) {
      const values = randomFloats(2 * n, n);
      const all = Array.from({ length: n }, (_, k) => k);
      const expected = direct(values, n, all);
      tidy(() => {
        const z = complexOf(values, [n], dtype);
        const spectrum = fft(z);
        expect(relative(pairs(spectrum), expected)).toBeLessThan(LIMIT[dtype]);
        expect(relative(pairs(ifft(spectrum)), values)).toBeLessThan(LIMIT[dtype]);
        const x = tensor(values.subarray(0, n), { dtype });
        const half = direct(
          Float64Array.from({ length: 2 * n }, (_, i) => (i % 2 ? 0 : values[i >> 1]!)),
          n,
          all.slice(0, Math.floor(n / 2) + 1),
        );
        const real = rfft(x);
        expect(relative(pairs(real), half)).toBeLessThan(LIMIT[dtype]);
        expect(relative(irfft(real, { n }).dataSync(), values.subarray(0, n))).toBeLessThan(
          LIMIT[dtype],
        );
      });
    }
  });

  test.each([257, 509, 1009, 4099, 65537, 100003, 131072])('length %i', (n) => {
    const values = randomFloats(2 * n, n);
    tidy(() => {
      const z = complexOf(values, [n], dtype);
      const spectrum = fft(z);
      const out = pairs(spectrum);
      const ks = [0, 1, 2, n >> 1, n - 1];
      const expected = direct(values, n, ks);
      const found = ks.flatMap((k) => [out[2 * k]!, out[2 * k + 1]!]);
      expect(relative(found, expected)).toBeLessThan(3 * LIMIT[dtype]);
      expect(squares(out) / n / squares(values)).toBeCloseTo(1, dtype === 'float32' ? 5 : 12);
      expect(relative(pairs(ifft(spectrum)), values)).toBeLessThan(LIMIT[dtype]);
      const x = tensor(values.subarray(0, n), { dtype });
      expect(relative(irfft(rfft(x), { n }).dataSync(), x.dataSync())).toBeLessThan(LIMIT[dtype]);
      // A single mode is a single point.
      const m = 3;
      const mode = Float64Array.from({ length: 2 * n }, (_, i) => {
        const angle = (2 * Math.PI * ((m * (i >> 1)) % n)) / n;
        return i % 2 ? Math.sin(angle) : Math.cos(angle);
      });
      const peak = new Float64Array(2 * n);
      peak[2 * m] = n;
      expect(relative(pairs(fft(complexOf(mode, [n], dtype))), peak)).toBeLessThan(LIMIT[dtype]);
    });
  });

  test('cosine and sine transforms of every length and type invert', () => {
    for (let n = 1; n <= 256; n += n < 40 ? 1 : 9) {
      const values = randomFloats(3 * n, n);
      tidy(() => {
        const x = tensor(values, { shape: [3, n], dtype });
        for (const type of [1, 2, 3, 4] as const) {
          for (const norm of ['backward', 'ortho', 'forward'] as const) {
            const check = (y: Tensor) =>
              expect(relative(y.dataSync(), values)).toBeLessThan(LIMIT[dtype]);
            if (n > 1 || type > 1) check(idct(dct(x, { type, norm }), { type, norm }));
            check(idst(dst(x, { type, norm }), { type, norm }));
            if (norm !== 'ortho') continue;
            // Orthogonal: the norm stays.
            const kept = squares(dst(x, { type, norm }).dataSync()) / squares(values);
            expect(kept).toBeCloseTo(1, dtype === 'float32' ? 5 : 12);
          }
        }
      });
    }
  });
});

test('lines of one batch do not touch each other', () => {
  for (const n of [15, 16, 64, 600]) {
    tidy(() => {
      const values = randomFloats(20 * n, 1);
      values.fill(1e30, 0, n);
      values[n] = NaN;
      const x = tensor(values, { shape: [20, n] });
      const alone = tensor(values.subarray(5 * n, 6 * n));
      for (const transform of [(t: Tensor) => viewAsReal(rfft(t)), (t: Tensor) => dct(t)]) {
        expect(transform(x).select(0, 5).dataSync()).toEqual(transform(alone).dataSync());
      }
    });
  }
});

test('transforms along several dimensions invert, in blocks and beyond them', () => {
  for (const shape of [
    [2, 3, 4, 5],
    [3, 64, 64],
    [2, 300, 310],
    [1, 5, 2100],
  ]) {
    tidy(() => {
      const x = tensor(
        randomFloats(
          shape.reduce((a, b) => a * b),
          2,
        ),
        { shape, dtype: 'float64' },
      );
      expect(relative(irfftn(rfftn(x), { s: shape }).dataSync(), x.dataSync())).toBeLessThan(1e-13);
      expect(relative(real(ifftn(fftn(x))).dataSync(), x.dataSync())).toBeLessThan(1e-13);
    });
  }
});

test('gradients of gradients', () => {
  tidy(() => {
    const x = tensor(randomFloats(24, 3), { shape: [2, 12], dtype: 'float64' });
    // |rfft x|^2 summed is quadratic: its second derivative along v is constant.
    const power = (t: Tensor) => sum(mul(viewAsReal(rfft(t)), viewAsReal(rfft(t))));
    const first = grad(power);
    const second = grad((t: Tensor) => sum(mul(first(t)[0]!, x)))(x)[0]!;
    expect(relative(second.dataSync(), first(x)[0]!.dataSync())).toBeLessThan(1e-12);
  });
});

test('frequencies', () => {
  tidy(() => {
    expect(Array.from(fftfreq(5, { d: 0.5, dtype: 'float64' }).dataSync())).toEqual([
      0, 0.4, 0.8, -0.8, -0.4,
    ]);
    expect(Array.from(fftfreq(4).dataSync())).toEqual([0, 0.25, -0.5, -0.25]);
    expect(Array.from(rfftfreq(4).dataSync())).toEqual([0, 0.25, 0.5]);
  });
});

describe('errors', () => {
  const x = tensor([1, 2, 3, 4]);
  const z = viewAsComplex(
    tensor([
      [1, 2],
      [3, 4],
    ]),
  );
  const rows: [string, () => unknown, string, RegExp][] = [
    ['fft', () => fft(x, { n: 0 }), 'FLUXION_INVALID_ARGUMENT', /points must be an integer >= 1/],
    ['fft', () => fft(x, { dim: 1 }), 'FLUXION_INVALID_ARGUMENT', /dim must be/],
    [
      'ifft',
      () => ifft(x, { norm: 'half' as 'ortho' }),
      'FLUXION_INVALID_ARGUMENT',
      /norm must be/,
    ],
    ['fft', () => fft(x, { axis: 0 } as object), 'FLUXION_INVALID_ARGUMENT', /no option 'axis'/],
    ['fft', () => fft(tensor(1)), 'FLUXION_INVALID_ARGUMENT', /dimension/],
    ['rfft', () => rfft(z), 'FLUXION_DTYPE_MISMATCH', /must be real/],
    ['irfft', () => irfft(tensor([1])), 'FLUXION_INVALID_ARGUMENT', /points must be/],
    ['fftn', () => fftn(x, { s: [2, 2] }), 'FLUXION_INVALID_ARGUMENT', /dim must be/],
    ['fftn', () => fftn(x, { dim: [0, -1] }), 'FLUXION_INVALID_ARGUMENT', /different dimensions/],
    ['dct', () => dct(z), 'FLUXION_DTYPE_MISMATCH', /must be real/],
    ['dct', () => dct(x, { type: 5 as 4 }), 'FLUXION_INVALID_ARGUMENT', /type must be/],
    ['dct', () => dct(tensor([1]), { type: 1 }), 'FLUXION_INVALID_ARGUMENT', />= 2 for type 1/],
    ['fftfreq', () => fftfreq(0), 'FLUXION_INVALID_ARGUMENT', /n must be/],
    ['rfftfreq', () => rfftfreq(4, { d: 0 }), 'FLUXION_INVALID_ARGUMENT', /d must be/],
  ];
  test.each(rows)('%s %#', (op, run, code, message) => {
    let error: FluxionError | undefined;
    try {
      run();
    } catch (e) {
      error = e as FluxionError;
    }
    expect(error).toMatchObject({ op, code });
    expect(error!.message).toMatch(message);
  });
});
