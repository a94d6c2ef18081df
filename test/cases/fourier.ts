// Fourier, cosine and sine transforms against their defining sums. Complex tensors go in and out as pairs.
import {
  type Tensor,
  dct,
  dctn,
  dst,
  fft,
  fft2,
  fftn,
  fftshift,
  idct,
  idst,
  ifft,
  ifft2,
  ifftshift,
  irfft,
  irfft2,
  rfft,
  rfft2,
  viewAsComplex,
  viewAsReal,
} from '../../lib';
import type { FourierNorm, TrigonometricType } from '../../lib';
import type { Case, Values } from './case';
import { at, build } from './case';

type Shape = readonly number[];

/** sum over the points of `dim` (cropped to n) of weight(j, k) times the input, for `size` points k. */
function alongDim(
  x: Values,
  dim: number,
  n: number,
  size: number,
  weight: (j: number, k: number) => number,
): Values {
  const shape = x.shape.with(dim, size);
  return build(shape, (index) => {
    let total = 0;
    const from = [...index];
    for (let j = 0; j < Math.min(n, x.shape[dim]!); j++) {
      from[dim] = j;
      total += weight(j, index[dim]!) * at(x, from);
    }
    return total;
  });
}

/** The transform of pairs along `dim`: sign -1 forward. */
function dft(z: Values, dim: number, n: number, size: number, sign: number, scale: number): Values {
  const shape = z.shape.with(dim, size);
  return build(shape, (index) => {
    let total = 0;
    const from = [...index];
    const last = index.length - 1;
    for (let j = 0; j < Math.min(n, z.shape[dim]!); j++) {
      from[dim] = j;
      const angle = (sign * 2 * Math.PI * ((j * index[dim]!) % n)) / n;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      from[last] = 0;
      const re = at(z, from);
      from[last] = 1;
      const im = at(z, from);
      total += index[last] === 0 ? c * re - s * im : c * im + s * re;
    }
    return scale * total;
  });
}

const widened = (x: Values): Values =>
  build([...x.shape, 2], (index) => (index.at(-1) === 0 ? at(x, index.slice(0, -1)) : 0));

/** The real part of the inverse of a half spectrum of n points, not scaled. */
function fromHalf(z: Values, dim: number, n: number, scale: number): Values {
  return build(z.shape.with(dim, n).slice(0, -1), (index) => {
    let total = 0;
    for (let k = 0; k <= n / 2 && k < z.shape[dim]!; k++) {
      const angle = (2 * Math.PI * ((k * index[dim]!) % n)) / n;
      const from = index.with(dim, k);
      const end = k === 0 || 2 * k === n;
      const [re, im] = [at(z, [...from, 0]), end ? 0 : at(z, [...from, 1])];
      total += (end ? 1 : 2) * (Math.cos(angle) * re - Math.sin(angle) * im);
    }
    return scale * total;
  });
}

function factor(norm: FourierNorm, points: number, inverse: boolean): number {
  if (norm === 'ortho') return 1 / Math.sqrt(points);
  return (norm === 'backward') === inverse ? 1 / points : 1;
}

/** Errors are relative to the norm of a line, about the square root of its points. */
const precision = (n: number) => 1e-6 * Math.max(3, Math.sqrt(n));

interface Line {
  shape: Shape;
  n?: number;
  dim?: number;
  norm?: FourierNorm;
}

const label = ({ shape, n, dim = -1, norm = 'backward' }: Line) =>
  `[${shape.join(', ')}] n ${n ?? 'default'} dim ${dim} ${norm}`;

function complexLine(line: Line, inverse: boolean): Case {
  const { shape, dim = -1, norm = 'backward' } = line;
  const axis = dim < 0 ? dim + shape.length : dim;
  const n = line.n ?? shape[axis]!;
  const run = inverse ? ifft : fft;
  return {
    name: `${inverse ? 'ifft' : 'fft'} ${label(line)}`,
    ops: ['fft'],
    inputs: [{ shape: [...shape, 2] }],
    run: (x) => viewAsReal(run(viewAsComplex(x), { n: line.n, dim, norm })),
    reference: (x) => dft(x, axis, n, n, inverse ? 1 : -1, factor(norm, n, inverse)),
    tolerance: { float32: precision(n) },
    linearIn: [0],
  };
}

function realLine(line: Line): Case {
  const { shape, dim = -1, norm = 'backward' } = line;
  const axis = dim < 0 ? dim + shape.length : dim;
  const n = line.n ?? shape[axis]!;
  const size = Math.floor(n / 2) + 1;
  return {
    name: `rfft ${label(line)}`,
    ops: ['rfft'],
    inputs: [{ shape }],
    run: (x) => viewAsReal(rfft(x, { n: line.n, dim, norm })),
    reference: (x) => dft(widened(x), axis, n, size, -1, factor(norm, n, false)),
    tolerance: { float32: precision(n) },
    linearIn: [0],
  };
}

function halfLine(line: Line): Case {
  const { shape, dim = -1, norm = 'backward' } = line;
  const axis = dim < 0 ? dim + shape.length : dim;
  const n = line.n ?? 2 * (shape[axis]! - 1);
  return {
    name: `irfft ${label(line)}`,
    ops: ['irfft'],
    inputs: [{ shape: [...shape, 2] }],
    run: (x) => irfft(viewAsComplex(x), { n: line.n, dim, norm }),
    reference: (x) => fromHalf(x, axis, n, factor(norm, n, true)),
    tolerance: { float32: precision(n) },
    linearIn: [0],
  };
}

const LINES: readonly Line[] = [
  { shape: [3, 1] },
  { shape: [2, 2], norm: 'ortho' },
  { shape: [17, 3] },
  { shape: [2, 15], norm: 'forward' },
  { shape: [5, 16], n: 13 },
  { shape: [17, 4], n: 7 },
  { shape: [2, 31] },
  { shape: [18, 64] },
  { shape: [2, 100] },
  { shape: [127] },
  { shape: [131] },
  { shape: [5, 17], dim: 0 },
  { shape: [2, 12, 3], dim: 1, n: 10 },
  { shape: [2, 6, 19], dim: -2, norm: 'ortho' },
  { shape: [0, 8] },
];

function plane(
  name: string,
  shape: Shape,
  dims: readonly number[],
  run: (z: Tensor) => Tensor,
): Case {
  const inverse = name.startsWith('i');
  return {
    name: `${name} [${shape.join(', ')}] dim [${dims.join(', ')}]`,
    ops: ['fft'],
    inputs: [{ shape: [...shape, 2] }],
    run: (x) => viewAsReal(run(viewAsComplex(x))),
    reference: (x) =>
      dims.reduce((z, d) => {
        const n = shape[d]!;
        return dft(z, d, n, n, inverse ? 1 : -1, inverse ? 1 / n : 1);
      }, x),
    tolerance: { float32: 4e-6 },
    linearIn: [0],
  };
}

const PLANES: readonly Case[] = [
  plane('fft2', [2, 7, 16], [1, 2], (z) => fft2(z)),
  plane('ifft2', [3, 3, 5], [1, 2], (z) => ifft2(z)),
  plane('fft2', [4, 3, 6], [0, 2], (z) => fft2(z, { dim: [0, 2] })),
  plane('fftn', [3, 4, 5], [0, 1, 2], (z) => fftn(z)),
  {
    name: 'rfft2 [2, 6, 10], s [7, 9]',
    ops: ['rfft'],
    inputs: [{ shape: [2, 6, 10] }],
    run: (x) => viewAsReal(rfft2(x, { s: [7, 9] })),
    reference: (x) => dft(dft(widened(x), 2, 9, 5, -1, 1), 1, 7, 7, -1, 1),
    tolerance: { float32: 4e-6 },
    linearIn: [0],
  },
  {
    name: 'irfft2 [2, 5, 4], s [6, 6]',
    ops: ['irfft'],
    inputs: [{ shape: [2, 5, 4, 2] }],
    run: (x) => irfft2(viewAsComplex(x), { s: [6, 6] }),
    reference: (x) => fromHalf(dft(x, 1, 6, 6, 1, 1 / 6), 2, 6, 1 / 6),
    linearIn: [0],
  },
  {
    name: 'fftshift, ifftshift [4, 5]',
    ops: [],
    inputs: [{ shape: [4, 5] }],
    run: (x) => ifftshift(fftshift(x), { dim: [1] }),
    reference: (x) => build([4, 5], ([i, j]) => at(x, [(i! + 2) % 4, j!])),
    linearIn: [0],
  },
];

/** The matrix of SciPy's norm 'backward', without its ends. */
const ENTRIES: Record<string, (n: number, j: number, k: number) => number> = {
  cos1: (n, j, k) => (j === 0 || j === n - 1 ? 1 : 2) * Math.cos((Math.PI * j * k) / (n - 1)),
  cos2: (n, j, k) => 2 * Math.cos((Math.PI * (2 * j + 1) * k) / (2 * n)),
  cos3: (n, j, k) => (j === 0 ? 1 : 2) * Math.cos((Math.PI * j * (2 * k + 1)) / (2 * n)),
  cos4: (n, j, k) => 2 * Math.cos((Math.PI * (2 * j + 1) * (2 * k + 1)) / (4 * n)),
  sin1: (n, j, k) => 2 * Math.sin((Math.PI * (j + 1) * (k + 1)) / (n + 1)),
  sin2: (n, j, k) => 2 * Math.sin((Math.PI * (2 * j + 1) * (k + 1)) / (2 * n)),
  sin3: (n, j, k) => (j === n - 1 ? 1 : 2) * Math.sin((Math.PI * (j + 1) * (2 * k + 1)) / (2 * n)),
  sin4: (n, j, k) => 2 * Math.sin((Math.PI * (2 * j + 1) * (2 * k + 1)) / (4 * n)),
};

/** Factors of the end elements that make the matrix orthogonal: of inputs (dim j) and outputs (k). */
function orthogonalEnds(entry: string, n: number, j: number, k: number): number {
  const r = Math.SQRT2;
  if (entry === 'cos1') {
    const end = (i: number) => i === 0 || i === n - 1;
    return (end(j) ? r : 1) / (end(k) ? r : 1);
  }
  const at = entry.startsWith('cos') ? 0 : n - 1;
  if (entry.endsWith('2')) return k === at ? 1 / r : 1;
  return entry.endsWith('3') && j === at ? r : 1;
}

function trigonometric(
  family: 'cos' | 'sin',
  type: TrigonometricType,
  inverse: boolean,
  line: Line,
): Case {
  const { shape, dim = -1, norm = 'backward' } = line;
  const axis = dim < 0 ? dim + shape.length : dim;
  const n = line.n ?? shape[axis]!;
  const forward = family === 'cos' ? dct : dst;
  const backward = family === 'cos' ? idct : idst;
  const applied = inverse ? [0, 1, 3, 2, 4][type]! : type;
  const period = type === 1 ? 2 * (family === 'cos' ? n - 1 : n + 1) : 2 * n;
  const entry = `${family}${applied}`;
  const scale = factor(norm, period, inverse);
  const weight = (j: number, k: number) =>
    scale * ENTRIES[entry]!(n, j, k) * (norm === 'ortho' ? orthogonalEnds(entry, n, j, k) : 1);
  const run = inverse ? backward : forward;
  return {
    name: `${inverse ? 'i' : ''}${family === 'cos' ? 'dct' : 'dst'} type ${type} ${label(line)}`,
    ops: ['trigonometric'],
    inputs: [{ shape }],
    run: (x) => run(x, { type, n: line.n, dim, norm }),
    reference: (x) => alongDim(x, axis, n, n, weight),
    tolerance: { float32: precision(n) },
    linearIn: [0],
  };
}

const TYPES: readonly TrigonometricType[] = [1, 2, 3, 4];
const TRIGONOMETRIC_LINES: readonly Line[] = [
  { shape: [3, 2], norm: 'ortho' },
  { shape: [2, 3] },
  { shape: [17, 15], norm: 'forward' },
  { shape: [2, 16], norm: 'ortho' },
  { shape: [2, 12, 3], dim: 1, n: 9, norm: 'ortho' },
  { shape: [3, 31], n: 34 },
];

export const FOURIER: Case[] = [
  ...LINES.flatMap((line) => [complexLine(line, false), complexLine(line, true), realLine(line)]),
  ...LINES.map((line) =>
    halfLine(line.n || line.shape.at(line.dim ?? -1) !== 1 ? line : { ...line, n: 1 }),
  ),
  ...PLANES,
  ...TRIGONOMETRIC_LINES.flatMap((line, i) =>
    TYPES.flatMap((type) => [
      trigonometric('cos', type, i % 2 === 1, line),
      trigonometric('sin', type, i % 2 === 1, line),
    ]),
  ),
  trigonometric('cos', 2, false, { shape: [2, 1] }),
  trigonometric('cos', 4, false, { shape: [2, 1] }),
  trigonometric('sin', 3, true, { shape: [1, 64] }),
  trigonometric('cos', 3, false, { shape: [100] }),
  {
    name: 'dctn [3, 4, 5]',
    ops: ['trigonometric'],
    inputs: [{ shape: [3, 4, 5] }],
    run: (x) => dctn(x),
    reference: (x) =>
      [0, 1, 2].reduce((y, d) => {
        const n = x.shape[d]!;
        return alongDim(y, d, n, n, (j, k) => ENTRIES.cos2!(n, j, k));
      }, x),
    tolerance: { float32: 4e-6 },
    linearIn: [0],
  },
];
