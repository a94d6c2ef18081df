// A plain JavaScript program on typed arrays, as one would write it without a tensor library: one thread, no
// allocation inside the timed region. The diffusion here is also the reference of the benchmark's checks.

import { median, measure } from '../measure';

export type Floats = Float32Array | Float64Array;

/** Coefficients of the elimination of (1 + 2z, -z) systems, shared by all lines of a channel. */
interface Factors {
  n: number;
  /** Off-diagonal entry of the matrix is -z; `explicit` times the same stencil acts on the right side. */
  z: number;
  explicit: number;
  boundary: string;
  inversePivot: Float64Array;
  /** Periodic: solution of the rank-one correction, and what it is divided by. */
  correction: Float64Array | null;
  denominator: number;
}

function factorise(n: number, r: number, boundary: string, scheme: string): Factors {
  const implicit = scheme === 'crank-nicolson' ? 0.5 : 1;
  const z = implicit * r;
  const diagonal = new Float64Array(n).fill(1 + 2 * z);
  const periodic = boundary === 'periodic' && n > 1;
  if (boundary === 'neumann' || (boundary === 'periodic' && n === 1)) {
    diagonal[0]! -= z;
    diagonal[n - 1]! -= z;
  }
  // Sherman-Morrison: the periodic matrix is this tridiagonal one - z p p^T with p = (1, 0, .., 0, 1).
  if (periodic) {
    diagonal[0]! += z;
    diagonal[n - 1]! += z;
  }
  const inversePivot = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    inversePivot[i] = 1 / (diagonal[i]! - (i > 0 ? z * z * inversePivot[i - 1]! : 0));
  }
  const factors: Factors = {
    ...{ n, z, explicit: (1 - implicit) * r, boundary, inversePivot },
    correction: null,
    denominator: 1,
  };
  if (periodic) {
    const q = new Float64Array(n);
    q[0] = 1;
    q[n - 1]! += 1;
    eliminate(q, factors);
    factors.correction = q;
    factors.denominator = 1 - z * (q[0] + q[n - 1]!);
  }
  return factors;
}

function eliminate(line: Float64Array, { n, z, inversePivot }: Factors): void {
  line[0]! *= inversePivot[0]!;
  for (let i = 1; i < n; i++) line[i] = (line[i]! + z * line[i - 1]!) * inversePivot[i]!;
  for (let i = n - 2; i >= 0; i--) line[i]! += z * inversePivot[i]! * line[i + 1]!;
}

/** Solves one line in place: `values[begin + i * stride]`. */
function solveLine(
  values: Floats,
  begin: number,
  stride: number,
  factors: Factors,
  line: Float64Array,
): void {
  const { n, explicit, boundary, correction, denominator, z } = factors;
  for (let i = 0; i < n; i++) line[i] = values[begin + i * stride]!;
  if (explicit > 0) {
    const outside = (edge: number, opposite: number) =>
      boundary === 'neumann' ? edge : boundary === 'periodic' ? opposite : 0;
    const last = outside(line[n - 1]!, line[0]!);
    let before = outside(line[0]!, line[n - 1]!);
    for (let i = 0; i < n; i++) {
      const here = line[i]!;
      const after = i + 1 < n ? line[i + 1]! : last;
      line[i] = here + explicit * (before - 2 * here + after);
      before = here;
    }
  }
  eliminate(line, factors);
  if (correction) {
    const factor = (z * (line[0]! + line[n - 1]!)) / denominator;
    for (let i = 0; i < n; i++) line[i]! += factor * correction[i]!;
  }
  for (let i = 0; i < n; i++) values[begin + i * stride] = line[i]!;
}

/** Sizes and choices of a step. */
export type Diffusion = {
  n: number;
  c: number;
  h: number;
  w: number;
  dt: number;
  boundary: string;
  scheme: string;
};

/** One locally one-dimensional step of implicit diffusion, u [n, c, h, w] to `out`; dx = dy = 1. */
export function implicitDiffusion(
  u: Floats,
  k: ArrayLike<number>,
  out: Floats,
  o: Diffusion,
): void {
  const { n, c, h, w, dt, boundary, scheme } = o;
  const line = new Float64Array(Math.max(h, w));
  out.set(u);
  for (let channel = 0; channel < c; channel++) {
    const alongX = factorise(w, dt * k[channel]!, boundary, scheme);
    const alongY = factorise(h, dt * k[channel]!, boundary, scheme);
    for (let b = 0; b < n; b++) {
      const plane = (b * c + channel) * h * w;
      for (let i = 0; i < h; i++) solveLine(out, plane + i * w, 1, alongX, line);
      for (let j = 0; j < w; j++) solveLine(out, plane + j, w, alongY, line);
    }
  }
}

// ---------------------------------------------------------------------------------------------------
// The peer program: node typed_array.js '{"peer": ..., "sizes": ..., "sets": ...}'

export interface PeerRequest {
  peer: string;
  sizes: Record<string, number | string>;
  sets: number;
  threads: number;
}

const fill = (n: number) => Float32Array.from({ length: n }, () => Math.random() - 0.5);

const FORMULATIONS: Record<string, (request: PeerRequest) => (call: number) => void> = {
  add: ({ sizes, sets }) => {
    const n = Number(sizes.n);
    const inputs = Array.from({ length: sets }, () => [fill(n), fill(n)] as const);
    const out = Array.from({ length: 2 }, () => new Float32Array(n));
    return (call) => {
      const [a, b] = inputs[call % sets]!;
      const to = out[call % 2]!;
      for (let i = 0; i < n; i++) to[i] = a[i]! + b[i]!;
    };
  },
  'implicit-diffusion-2d': ({ sizes, sets }) => {
    const o = sizes as unknown as Diffusion;
    const size = o.n * o.c * o.h * o.w;
    const first = fill(size);
    const inputs = Array.from({ length: sets }, () => first.slice());
    const out = Array.from({ length: 2 }, () => new Float32Array(size));
    const k = Float32Array.from({ length: o.c }, (_, i) => 0.1 + i / o.c);
    return (call) => implicitDiffusion(inputs[call % sets]!, k, out[call % 2]!, o);
  },
};

async function main(request: PeerRequest): Promise<void> {
  const call = FORMULATIONS[request.peer]!(request);
  const timing = await measure((calls, first) => {
    for (let i = 0; i < calls; i++) call(first + i);
  });
  const { samples, calls } = timing;
  const report = { samples, calls, median: median(samples), version: process.version, threads: 1 };
  console.log(JSON.stringify(report));
}

if (require.main === module) void main(JSON.parse(process.argv[2]!) as PeerRequest);
