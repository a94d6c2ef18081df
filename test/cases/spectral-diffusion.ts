import {
  type Tensor,
  spectralDiffusion1d,
  spectralDiffusion2d,
  spectralDiffusion3d,
  stencilDiffusion2d,
} from '../../lib';
import { type Case, type Input, type Values, build } from './case';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';
type Scheme = 'backward-euler' | 'crank-nicolson' | 'exponential';

interface Step {
  dt: number;
  /** Spacings along x, y, z. */
  spacing: readonly number[];
  boundary: Boundary;
  scheme: Scheme;
  symbol?: 'discrete' | 'continuous';
  power?: number;
}

/** Orthonormal eigenvectors of the second difference of n cells, and the angle of each. */
export function eigenbasis(
  n: number,
  boundary: Boundary,
): { vectors: number[][]; angles: number[] } {
  const wave = (m: number): [number, (i: number) => number] => {
    if (boundary === 'neumann') {
      const angle = (Math.PI * m) / n;
      return [angle, (i) => Math.cos(angle * (i + 0.5))];
    }
    if (boundary === 'dirichlet') {
      const angle = (Math.PI * (m + 1)) / (n + 1);
      return [angle, (i) => Math.sin(angle * (i + 1))];
    }
    const cycles = Math.floor((m + 1) / 2);
    const angle = (2 * Math.PI * cycles) / n;
    return [
      angle,
      (i) => (m % 2 === 1 ? Math.cos(angle * i) : Math.sin(angle * i) + (m === 0 ? 1 : 0)),
    ];
  };
  const angles: number[] = [];
  const vectors = Array.from({ length: n }, (_, m) => {
    const [angle, value] = wave(m);
    angles.push(angle);
    const v = Array.from({ length: n }, (_, i) => value(i));
    const norm = Math.hypot(...v);
    return v.map((x) => x / norm);
  });
  return { vectors, angles };
}

/** Multiplies every line along an axis by a matrix, or by its transpose. */
function multiplyAxis(u: Values, axis: number, rows: number[][], transposed: boolean): Values {
  const n = rows.length;
  const stride = u.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const data = new Float64Array(u.data.length);
  for (let p = 0; p < data.length; p++) {
    const i = Math.floor(p / stride) % n;
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const a = transposed ? rows[j]![i]! : rows[i]![j]!;
      if (a !== 0) sum += a * u.data[p + (j - i) * stride]!;
    }
    data[p] = sum;
  }
  return { shape: u.shape, data };
}

function factorOf(z: number, scheme: Scheme): number {
  if (scheme === 'backward-euler') return 1 / (1 + z);
  return scheme === 'crank-nicolson' ? (1 - z / 2) / (1 + z / 2) : Math.exp(-z);
}

function reference(u: Values, k: Values, step: Step): Values {
  const dims = u.shape.length - 2;
  const { dt, spacing, boundary, scheme, symbol = 'discrete', power = 1 } = step;
  // Axis 0 is x, the last dimension.
  const axes = Array.from({ length: dims }, (_, i) => {
    const { vectors, angles } = eigenbasis(u.shape[u.shape.length - 1 - i]!, boundary);
    const wave = angles.map((t) => (symbol === 'discrete' ? 2 * Math.sin(t / 2) : t) / spacing[i]!);
    return { vectors, lambda: wave.map((w) => w * w) };
  });
  let field = u;
  axes.forEach(({ vectors }, i) => {
    field = multiplyAxis(field, u.shape.length - 1 - i, vectors, false);
  });
  const anisotropic = k.shape.length === 2;
  field = build(u.shape, (index) => {
    const lambda = axes.map((axis, i) => axis.lambda[index[index.length - 1 - i]!]!);
    const channel = index[1]!;
    const z = anisotropic
      ? lambda.reduce((sum, l, i) => sum + k.data[channel * dims + i]! ** (1 / power) * l, 0) **
        power
      : k.data[k.shape.length === 1 ? channel : 0]! * lambda.reduce((a, b) => a + b, 0) ** power;
    let at = 0;
    index.forEach((q, d) => (at = at * u.shape[d]! + q));
    return factorOf(dt * z, scheme) * field.data[at]!;
  });
  axes.forEach(({ vectors }, i) => {
    field = multiplyAxis(field, u.shape.length - 1 - i, vectors, true);
  });
  return field;
}

const FUNCTIONS = [spectralDiffusion1d, spectralDiffusion2d, spectralDiffusion3d] as const;

function run(u: Tensor, k: Tensor | number, { spacing, ...rest }: Step): Tensor {
  const [dx, dy, dz] = spacing;
  const options = { ...rest, dx, ...(dy && { dy }), ...(dz && { dz }) };
  return FUNCTIONS[u.ndim - 3]!(u, k, options);
}

const diffusivityInput = (shape: readonly number[]): Input => ({ shape, range: [0.2, 2] });

function spectralCase(u: readonly number[], k: readonly number[], given: Partial<Step>): Case {
  const dims = u.length - 2;
  const step: Step = {
    dt: 0.6,
    spacing: [0.8, 1.3, 1.1].slice(0, dims),
    boundary: 'periodic',
    scheme: 'backward-euler',
    ...given,
  };
  const choices = [
    step.boundary,
    step.scheme,
    step.symbol ?? '',
    step.power ? `power ${step.power}` : '',
  ];
  return {
    name: `spectralDiffusion${dims}d [${u.join(',')}] k [${k.join(',')}] ${choices.filter(Boolean).join(' ')} dt ${step.dt}`,
    ops: [`spectral_diffusion_${dims}d`],
    inputs: [{ shape: u }, diffusivityInput(k)],
    run: (x, diffusivity) => run(x, diffusivity, step),
    reference: (x, diffusivity) => reference(x, diffusivity, step),
    linearIn: [0],
    tolerance: { float32: 1e-5 },
  };
}

const BOUNDARIES: Boundary[] = ['periodic', 'neumann', 'dirichlet'];
const SCHEMES: Scheme[] = ['backward-euler', 'crank-nicolson', 'exponential'];

// Sizes around the vector widths; every boundary meets each size along some axis.
const PLANES: [number, number][] = [
  [1, 1],
  [1, 5],
  [2, 3],
  [3, 2],
  [15, 17],
  [16, 16],
  [33, 31],
];
const LINES = [1, 2, 3, 15, 16, 17, 31, 64, 100, 127];
const VOLUMES: [number, number, number][] = [
  [1, 2, 3],
  [3, 1, 2],
  [5, 4, 17],
];

const SPECTRAL: Case[] = BOUNDARIES.flatMap((boundary) => [
  ...LINES.map((n, i) =>
    spectralCase([2, 3, n], i % 2 ? [3] : [3, 1], { boundary, scheme: SCHEMES[i % 3]! }),
  ),
  spectralCase([1, 32, 5], [32], { boundary }), // whole vectors of channels
  spectralCase([3, 17, 2], [17], { boundary }),
  ...PLANES.map(([h, w], i) =>
    spectralCase([2, 3, h, w], i % 2 ? [3, 2] : [3], { boundary, scheme: SCHEMES[i % 3]! }),
  ),
  spectralCase([1, 1, 3, 100], [1, 2], { boundary, scheme: 'exponential' }),
  spectralCase([1, 1, 127, 2], [1, 2], { boundary, scheme: 'crank-nicolson' }),
  spectralCase([1, 1, 64, 4], [1], { boundary, dt: 100 }),
  ...VOLUMES.map((shape, i) =>
    spectralCase([2, 2, ...shape], i % 2 ? [2] : [2, 3], { boundary, scheme: SCHEMES[i % 3]! }),
  ),
  ...SCHEMES.map((scheme) => spectralCase([1, 2, 6, 7], [2], { boundary, scheme, power: 1.5 })),
  spectralCase([1, 2, 5, 6], [2, 2], { boundary, scheme: 'exponential', power: 0.5 }),
  spectralCase([2, 2, 9], [2], { boundary, power: 2 }),
  spectralCase([1, 2, 3, 4, 5], [2, 3], { boundary, power: 2, dt: 0.1 }),
  spectralCase([1, 2, 8, 5], [2, 2], { boundary, symbol: 'continuous' }),
  spectralCase([1, 2, 11], [], { boundary, symbol: 'continuous', scheme: 'exponential' }),
]);

const OTHER: Case[] = [
  {
    name: 'spectralDiffusion2d with a number as diffusivity and the defaults',
    ops: ['spectral_diffusion_2d'],
    inputs: [{ shape: [1, 2, 5, 6] }],
    run: (u) => spectralDiffusion2d(u, 0.7, { dt: 0.5, dx: 0.5 }),
    reference: (u) =>
      reference(
        u,
        { shape: [], data: Float64Array.of(0.7) },
        { dt: 0.5, spacing: [0.5, 0.5], boundary: 'neumann', scheme: 'backward-euler' },
      ),
    linearIn: [0],
  },
  ...([1, 2, 3] as const).map((dims): Case => ({
    name: `spectralDiffusion${dims}d of an empty batch`,
    ops: [`spectral_diffusion_${dims}d`],
    inputs: [{ shape: [0, 2, 5, 6, 3].slice(0, dims + 2) }, diffusivityInput([2])],
    run: (u, k) => FUNCTIONS[dims - 1]!(u, k, { dt: 1 }),
    reference: (u) => u,
    gradient: 'there is nothing to differentiate',
  })),
];

/** The matrix I + dt L^T L of one plane, solved by elimination without pivoting (it is positive definite). */
function solveStencil(
  u: readonly number[],
  l: readonly number[],
  h: number,
  w: number,
  dt: number,
): number[] {
  const n = h * w;
  const stencil = Array.from({ length: n }, () => new Float64Array(n));
  for (let p = 0; p < n; p++) {
    for (let q = 0; q < 9; q++) {
      const i = (Math.floor(p / w) - (Math.floor(q / 3) - 1) + 2 * h) % h;
      const j = ((p % w) - ((q % 3) - 1) + 2 * w) % w;
      stencil[p]![i * w + j]! += l[q]!;
    }
  }
  const a = Array.from({ length: n }, (_, i) => {
    const row = Float64Array.from({ length: n + 1 }, (_, j) => (i === j ? 1 : 0));
    for (let r = 0; r < n; r++) {
      const x = stencil[r]![i]!;
      if (x !== 0) for (let j = 0; j < n; j++) row[j]! += dt * x * stencil[r]![j]!;
    }
    row[n] = u[i]!;
    return row;
  });
  for (let k = 0; k < n; k++) {
    for (let i = k + 1; i < n; i++) {
      const factor = a[i]![k]! / a[k]![k]!;
      if (factor !== 0) for (let j = k; j <= n; j++) a[i]![j]! -= factor * a[k]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = a[i]![n]!;
    for (let j = i + 1; j < n; j++) sum -= a[i]![j]! * x[j]!;
    x[i] = sum / a[i]![i]!;
  }
  return x;
}

function stencilCase(u: readonly [number, number, number, number], dt: number): Case {
  const [n, c, h, w] = u;
  return {
    name: `stencilDiffusion2d [${u.join(',')}] dt ${dt}`,
    ops: ['stencil_diffusion_2d'],
    inputs: [{ shape: u }, { shape: [c, 3, 3], range: [-1, 1] }],
    run: (x, stencil) => stencilDiffusion2d(x, stencil, { dt }),
    reference: (x, stencil) => {
      const data = Array.from({ length: n * c }, (_, p) =>
        solveStencil(
          [...x.data.slice(p * h * w, (p + 1) * h * w)],
          [...stencil.data.slice((p % c) * 9, (p % c) * 9 + 9)],
          h,
          w,
          dt,
        ),
      );
      return { shape: u, data: Float64Array.from(data.flat()) };
    },
    linearIn: [0],
    tolerance: { float32: 1e-5 },
  };
}

const STENCIL: Case[] = [
  ...(
    [
      [1, 1],
      [1, 2],
      [2, 1],
      [2, 2],
      [1, 17],
      [3, 3],
      [15, 3],
      [16, 4],
      [5, 31],
      [2, 64],
      [100, 1],
      [1, 127],
    ] as const
  ).map(([h, w]) => stencilCase([2, 3, h, w], 0.7)),
  stencilCase([3, 2, 7, 9], 5),
  {
    name: 'stencilDiffusion2d of an empty batch',
    ops: ['stencil_diffusion_2d'],
    inputs: [{ shape: [0, 2, 5, 6] }, { shape: [2, 3, 3] }],
    run: (u, stencil) => stencilDiffusion2d(u, stencil, { dt: 1 }),
    reference: (u) => u,
    gradient: 'there is nothing to differentiate',
  },
];

export const SPECTRAL_DIFFUSION: Case[] = [...SPECTRAL, ...OTHER, ...STENCIL];
