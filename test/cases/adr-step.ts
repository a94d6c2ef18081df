import { adrStep2d } from '../../lib';
import { type Case, type Values } from './case';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';
type Outside = 'zeros' | 'border' | 'reflect' | 'periodic';
type ActivationName = 'relu' | 'silu' | 'gelu' | 'tanh';

interface Step {
  dt: number;
  dx: number;
  dy: number;
  advectionBoundary: Outside;
  diffusionBoundary: Boundary;
  activation: ActivationName;
}

/** The error function by its series: exact to rounding for the arguments that occur here. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const ACTIVATION: Record<ActivationName, (x: number) => number> = {
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2,
  tanh: Math.tanh,
};

function source(j: number, n: number, outside: Outside): number | null {
  if (j >= 0 && j < n) return j;
  if (outside === 'zeros') return null;
  if (outside === 'border') return Math.min(Math.max(j, 0), n - 1);
  const period = outside === 'periodic' ? n : 2 * n;
  const k = ((j % period) + period) % period;
  return k < n ? k : 2 * n - 1 - k;
}

/** Solves (I - r D) x = b by Gauss-Seidel iteration to convergence: slow, and of no kinship with the kernel. */
function solveLine(b: readonly number[], r: number, boundary: Boundary): number[] {
  const n = b.length;
  let x = [...b];
  for (let sweep = 0; sweep < 2000; sweep++) {
    const before = x;
    x = [...x];
    for (let i = 0; i < n; i++) {
      let diagonal = 1;
      let right = b[i]!;
      for (const j of [i - 1, i + 1]) {
        const inside = j >= 0 && j < n;
        if (!inside && boundary === 'neumann') continue;
        const k = (j + n) % n;
        if (!inside && boundary === 'periodic' && k === i) continue;
        diagonal += r;
        if (inside || boundary === 'periodic') right += r * x[k]!;
      }
      x[i] = right / diagonal;
    }
    if (x.every((v, i) => v === before[i])) break;
  }
  return x;
}

function reference(inputs: readonly Values[], s: Step): Values {
  const [u, d, k, w1, b1, w2, b2] = inputs as [
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
  ];
  const [n, c, h, w] = u.shape as [number, number, number, number];
  const hidden = w1.shape[0]!;
  const pixels = h * w;
  const v = new Float64Array(u.data.length);
  for (let p = 0; p < n * c; p++) {
    const displaced = d.data.subarray(d.shape[0] === 1 ? 0 : Math.floor(p / c) * 2 * pixels);
    for (let i = 0; i < pixels; i++) {
      const x = (i % w) + displaced[i]!;
      const y = Math.floor(i / w) + displaced[pixels + i]!;
      for (const [jx, wx] of [
        [Math.floor(x), 1 - x + Math.floor(x)],
        [Math.floor(x) + 1, x - Math.floor(x)],
      ] as const) {
        for (const [jy, wy] of [
          [Math.floor(y), 1 - y + Math.floor(y)],
          [Math.floor(y) + 1, y - Math.floor(y)],
        ] as const) {
          const [sx, sy] = [source(jx, w, s.advectionBoundary), source(jy, h, s.advectionBoundary)];
          if (sx !== null && sy !== null)
            v[p * pixels + i]! += wx * wy * u.data[p * pixels + sy * w + sx]!;
        }
      }
    }
    const rx = (s.dt * k.data[2 * (p % c)]!) / s.dx ** 2;
    const ry = (s.dt * k.data[2 * (p % c) + 1]!) / s.dy ** 2;
    const sweep = (start: number, count: number, stride: number, r: number) => {
      const line = Array.from({ length: count }, (_, i) => v[start + i * stride]!);
      solveLine(line, r, s.diffusionBoundary).forEach((x, i) => (v[start + i * stride] = x));
    };
    for (let i = 0; i < h; i++) sweep(p * pixels + i * w, w, 1, rx);
    for (let j = 0; j < w; j++) sweep(p * pixels + j, h, w, ry);
  }
  const out = Float64Array.from(v);
  for (let q = 0; q < n * pixels; q++) {
    const [sample, i] = [Math.floor(q / pixels), q % pixels];
    const at = (channel: number) => (sample * c + channel) * pixels + i;
    const z = Array.from({ length: hidden }, (_, m) => {
      let sum = b1.data[m]!;
      for (let channel = 0; channel < c; channel++)
        sum += w1.data[m * c + channel]! * v[at(channel)]!;
      return ACTIVATION[s.activation](sum);
    });
    for (let channel = 0; channel < c; channel++) {
      const r = z.reduce(
        (sum, x, m) => sum + w2.data[channel * hidden + m]! * x,
        b2.data[channel]!,
      );
      out[at(channel)]! += s.dt * r;
    }
  }
  return { shape: u.shape, data: out };
}

function adrCase(
  [n, c, h, w]: [number, number, number, number],
  hidden: number,
  shared: boolean,
  step: Step,
): Case {
  const { activation, ...options } = step;
  return {
    name: `adrStep2d [${[n, c, h, w].join(',')}] hidden ${hidden} ${shared ? 'one displacement' : 'displacements'} ${step.advectionBoundary} ${step.diffusionBoundary} ${activation}`,
    ops: ['adr_step_2d'],
    inputs: [
      { shape: [n, c, h, w] },
      {
        shape: [shared ? 1 : n, 2, h, w],
        // Away from whole cells, where the gradient jumps.
        generate: (size, random) =>
          Array.from(
            { length: size },
            () => Math.floor(5 * random()) - 2 + 0.2 + 0.6 * Math.fround(random()),
          ).map(Math.fround),
      },
      { shape: [c, 2], range: [0.2, 1] },
      { shape: [hidden, c], range: [-0.5, 0.5] },
      { shape: [hidden], range: [-0.5, 0.5] },
      { shape: [c, hidden], range: [-0.5, 0.5] },
      { shape: [c], range: [-0.5, 0.5] },
    ],
    run: (u, d, k, weight1, bias1, weight2, bias2) =>
      adrStep2d(u, d, k, { weight1, bias1, weight2, bias2, activation }, options),
    reference: (...inputs) => reference(inputs, step),
    tolerance: { float32: 2e-5 },
  };
}

const OUTSIDE: readonly Outside[] = ['zeros', 'border', 'reflect', 'periodic'];
const WALLS: readonly Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const ACTIVATIONS: readonly ActivationName[] = ['silu', 'tanh', 'gelu', 'relu'];

export const ADR_STEP: Case[] = [
  ...OUTSIDE.map((advectionBoundary, i) =>
    adrCase([2, 3, 5, 4 + i], 4, i % 2 === 0, {
      dt: 0.6,
      dx: 0.9,
      dy: 1.2,
      advectionBoundary,
      diffusionBoundary: WALLS[i % 3]!,
      activation: ACTIVATIONS[i]!,
    }),
  ),
  // Sizes around the groups of lanes, the tiles of pixels and of rows.
  ...(
    [
      [1, 1, 1, 1],
      [1, 17, 3, 2],
      [2, 16, 7, 9],
      [1, 5, 15, 17],
      [3, 2, 1, 31],
    ] as const
  ).map(([n, c, h, w], i) =>
    adrCase([n, c, h, w], [1, 9, 16, 7, 2][i]!, i % 2 === 1, {
      dt: 0.5,
      dx: 1,
      dy: 1,
      advectionBoundary: OUTSIDE[(i + 1) % 4]!,
      diffusionBoundary: WALLS[(i + 2) % 3]!,
      activation: 'silu',
    }),
  ),
  // A plane that does not fit into the shared memory of a GPU.
  adrCase([1, 1, 3, 20000], 2, true, {
    dt: 0.5,
    dx: 1,
    dy: 1,
    advectionBoundary: 'periodic',
    diffusionBoundary: 'periodic',
    activation: 'tanh',
  }),
];
