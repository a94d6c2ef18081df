import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';

/** Walls that reflect, edges that let waves out (zero gradient), or the other side. */
export type ShallowWaterBoundary = 'wall' | 'outflow' | 'periodic';

export interface ShallowWaterSolverOptions {
  /** Cells along x and along y. */
  cells: readonly [number, number];
  /** Cell width, in length. */
  dx: number;
  /** Cell height. Default dx. */
  dy?: number;
  /** Default 1. */
  gravity?: number;
  /** Default 'wall'. */
  boundary?: ShallowWaterBoundary;
  /** 'hll' (default) of Harten, Lax and van Leer, or 'rusanov', more diffusive. */
  flux?: 'hll' | 'rusanov';
  /** Height of the ground in each cell, [H, W]. Default flat. */
  ground?: Float64Array;
  /** Share of the largest stable step. Default 0.45 (of 1/2 in two dimensions). */
  cfl?: number;
}

/** Below this depth a cell is dry and has no velocity. */
const DRY = 1e-10;

function minmod(a: number, b: number): number {
  return a * b <= 0 ? 0 : Math.abs(a) < Math.abs(b) ? a : b;
}

/**
 * The shallow water equations on a uniform mesh,
 *
 *     h_t + div(h v) = 0,   (h v)_t + div(h v v + g h^2 / 2) = -g h grad b,
 *
 * by a finite volume scheme of second order: limited linear reconstruction (minmod) of surface, depth and velocity,
 * hydrostatic reconstruction at the faces, Heun's method in time. Water at rest over any ground stays at rest to
 * rounding, depth stays >= 0, mass is kept to rounding between walls.
 *
 * State: depth h and momenta h v_x, h v_y in float64, [H, W]. Cost: about 300 flops a cell and step.
 *
 * Source: Audusse, Bouchut, Bristeau, Klein, Perthame, SIAM J. Sci. Comput. 25 (2004), 2050; LeVeque, Finite Volume
 * Methods for Hyperbolic Problems (2002).
 */
export class ShallowWaterSolver {
  readonly h: Float64Array;
  readonly hu: Float64Array;
  readonly hv: Float64Array;
  readonly ground: Float64Array;
  private readonly o: Required<ShallowWaterSolverOptions>;
  private readonly rate: [Float64Array, Float64Array, Float64Array];

  constructor(options: ShallowWaterSolverOptions) {
    const [w, hgt] = options.cells;
    this.o = withDefaults<Required<ShallowWaterSolverOptions>>('ShallowWaterSolver', options, {
      cells: options.cells,
      dx: options.dx,
      dy: options.dx,
      gravity: 1,
      boundary: 'wall',
      flux: 'hll',
      ground: new Float64Array(w * hgt),
      cfl: 0.45,
    });
    const { o } = this;
    const refuse = (name: string, requirement: string, valid: boolean, value: unknown) =>
      requireArgument(
        valid,
        'ShallowWaterSolver',
        () => `${name} must ${requirement}, got ${show(value)}`,
      );
    refuse(
      'cells',
      'be two integers >= 2',
      o.cells.length === 2 && o.cells.every((n) => Number.isInteger(n) && n >= 2),
      o.cells,
    );
    for (const name of ['dx', 'dy', 'gravity'] as const) {
      refuse(name, 'be a finite number > 0', Number.isFinite(o[name]) && o[name] > 0, o[name]);
    }
    refuse('cfl', 'be in (0, 1/2]', o.cfl > 0 && o.cfl <= 0.5, o.cfl);
    const boundaries = ['wall', 'outflow', 'periodic'];
    refuse(
      'boundary',
      `be one of ${boundaries.join(', ')}`,
      boundaries.includes(o.boundary),
      o.boundary,
    );
    refuse('flux', 'be one of hll, rusanov', o.flux === 'hll' || o.flux === 'rusanov', o.flux);
    refuse('ground', `have ${w * hgt} heights`, o.ground.length === w * hgt, o.ground.length);
    this.ground = o.ground;
    const make = () => new Float64Array(w * hgt);
    [this.h, this.hu, this.hv] = [make(), make(), make()];
    this.rate = [make(), make(), make()];
  }

  /** The largest stable step times cfl / (1/2). */
  stableStep(): number {
    const { dx, dy, gravity, cfl } = this.o;
    let fastest = 0;
    for (let i = 0; i < this.h.length; i++) {
      const h = this.h[i]!;
      if (h <= DRY) continue;
      const c = Math.sqrt(gravity * h);
      fastest = Math.max(
        fastest,
        (Math.abs(this.hu[i]! / h) + c) / dx,
        (Math.abs(this.hv[i]! / h) + c) / dy,
      );
    }
    return fastest > 0 ? cfl / fastest : Infinity;
  }

  /** Advances by `time` in as many steps as stability asks; returns their number. */
  advance(time: number): number {
    let left = time;
    let steps = 0;
    while (left > 1e-14 * time) {
      const dt = Math.min(left, this.stableStep());
      this.step(dt);
      left -= dt;
      steps++;
    }
    return steps;
  }

  /** One step of Heun's method. */
  step(dt: number): void {
    const state = [this.h, this.hu, this.hv] as const;
    const before = state.map((q) => q.slice());
    this.eulerStep(dt);
    this.eulerStep(dt);
    state.forEach((q, k) => {
      const start = before[k]!;
      for (let i = 0; i < q.length; i++) q[i] = 0.5 * (start[i]! + q[i]!);
    });
  }

  private eulerStep(dt: number): void {
    const { cells, dx, dy } = this.o;
    const [w, hgt] = cells;
    for (const rate of this.rate) rate.fill(0);
    const [rh, ru, rv] = this.rate;
    for (let y = 0; y < hgt; y++) this.sweep(this.hu, this.hv, ru, rv, y * w, 1, w, dx);
    for (let x = 0; x < w; x++) this.sweep(this.hv, this.hu, rv, ru, x, w, hgt, dy);
    for (let i = 0; i < rh.length; i++) {
      const h = Math.max(0, this.h[i]! + dt * rh[i]!);
      this.h[i] = h;
      this.hu[i] = h > DRY ? this.hu[i]! + dt * ru[i]! : 0;
      this.hv[i] = h > DRY ? this.hv[i]! + dt * rv[i]! : 0;
    }
  }

  /** Adds the rates of one line of n cells; `normal` is the momentum along it, `other` the one across. */
  private sweep(
    normal: Float64Array,
    other: Float64Array,
    normalRate: Float64Array,
    otherRate: Float64Array,
    start: number,
    stride: number,
    n: number,
    width: number,
  ): void {
    const { gravity: g, boundary } = this.o;
    const [rh] = this.rate;
    // Depth, surface and velocities of the cells of the line, two ghosts at either end.
    const depth = new Float64Array(n + 4);
    const surface = new Float64Array(n + 4);
    const along = new Float64Array(n + 4);
    const across = new Float64Array(n + 4);
    for (let k = -2; k < n + 2; k++) {
      const inside = k >= 0 && k < n;
      const mirrored = k < 0 ? -1 - k : 2 * n - 1 - k;
      const cell = inside
        ? k
        : boundary === 'periodic'
          ? (k + n) % n
          : boundary === 'wall'
            ? mirrored
            : Math.min(n - 1, Math.max(0, k));
      const i = start + cell * stride;
      const h = this.h[i]!;
      const wet = h > DRY;
      depth[k + 2] = h;
      surface[k + 2] = h + this.ground[i]!;
      along[k + 2] = wet ? normal[i]! / h : 0;
      if (!inside && boundary === 'wall') along[k + 2] = -along[k + 2]!;
      across[k + 2] = wet ? other[i]! / h : 0;
    }
    const slope = (q: Float64Array, k: number) =>
      0.5 * minmod(q[k]! - q[k - 1]!, q[k + 1]! - q[k]!);
    // Face f lies between cells f + 1 and f + 2 of the extended line.
    for (let f = 0; f <= n; f++) {
      const [l, r] = [f + 1, f + 2];
      const hl = Math.max(0, depth[l]! + slope(depth, l));
      const hr = Math.max(0, depth[r]! - slope(depth, r));
      const bl = surface[l]! + slope(surface, l) - hl;
      const br = surface[r]! - slope(surface, r) - hr;
      const ground = Math.max(bl, br);
      // Hydrostatic reconstruction: only water above the higher ground crosses the face.
      const dl = Math.max(0, hl + bl - ground);
      const dr = Math.max(0, hr + br - ground);
      const [ul, ur] = [along[l]! + slope(along, l), along[r]! - slope(along, r)];
      const [vl, vr] = [across[l]! + slope(across, l), across[r]! - slope(across, r)];
      const [mass, momentum] = this.numericalFlux(dl, ul, dr, ur);
      const crossing = mass * (mass > 0 ? vl : vr);
      if (f > 0) {
        const i = start + (f - 1) * stride;
        rh[i]! -= mass / width;
        normalRate[i]! -= (momentum + (g / 2) * (hl * hl - dl * dl)) / width;
        otherRate[i]! -= crossing / width;
      }
      if (f < n) {
        const i = start + f * stride;
        rh[i]! += mass / width;
        normalRate[i]! += (momentum + (g / 2) * (hr * hr - dr * dr)) / width;
        otherRate[i]! += crossing / width;
      }
      // The ground under the reconstruction inside the cell to the right of this face.
      if (f < n) {
        const k = f + 2;
        const left = Math.max(0, depth[k]! - slope(depth, k));
        const right = Math.max(0, depth[k]! + slope(depth, k));
        const rise =
          surface[k]! + slope(surface, k) - right - (surface[k]! - slope(surface, k) - left);
        normalRate[start + f * stride]! -= ((g / 2) * (left + right) * rise) / width;
      }
    }
  }

  /** Fluxes of mass and of momentum through a face. */
  private numericalFlux(hl: number, ul: number, hr: number, ur: number): [number, number] {
    const { gravity: g, flux } = this.o;
    const [cl, cr] = [Math.sqrt(g * hl), Math.sqrt(g * hr)];
    const [ml, mr] = [hl * ul, hr * ur];
    const pl = ml * ul + (g / 2) * hl * hl;
    const pr = mr * ur + (g / 2) * hr * hr;
    if (flux === 'rusanov') {
      const s = Math.max(Math.abs(ul) + cl, Math.abs(ur) + cr);
      return [0.5 * (ml + mr - s * (hr - hl)), 0.5 * (pl + pr - s * (mr - ml))];
    }
    const slow = Math.min(ul - cl, ur - cr);
    const fast = Math.max(ul + cl, ur + cr);
    if (slow >= 0) return [ml, pl];
    if (fast <= 0) return [mr, pr];
    const blend = (fl: number, fr: number, jump: number) =>
      (fast * fl - slow * fr + slow * fast * jump) / (fast - slow);
    return [blend(ml, mr, hr - hl), blend(pl, pr, mr - ml)];
  }
}
