import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { HostArray } from './host-array';
import { Random } from './random';

export interface GrayScottOptions {
  /** Number of runs. Default 1. */
  samples?: number;
  /** Cells along each side, of width 1. Default 64. */
  side?: number;
  /** States that are kept, the first at time 0. Default 20. */
  frames?: number;
  /** Time between two frames. Default 100. */
  interval?: number;
  /** Diffusivity of u and of v, cells^2 / time. Default [0.16, 0.08]. */
  diffusivity?: readonly [number, number];
  /** Feed rate F. Default 0.037. */
  feed?: number;
  /** Kill rate k. Default 0.06. */
  kill?: number;
  /** Squares of reactant that a run begins with. Default 3. */
  spots?: number;
  /** Default 0. */
  seed?: number;
}

/** Cells along the side of a spot: large enough to live for the default rates. */
const SPOT = 10;

/**
 * The reaction-diffusion system of Gray and Scott, periodic:
 *
 *     u_t = Du Lap u - u v^2 + F (1 - u),   v_t = Dv Lap v + u v^2 - (F + k) v
 *
 * Explicit Euler steps with the 5-point Laplacian, of at most 1/(8 max D) and at most 1, computed in float64. A run begins
 * at u = 1, v = 0 with `spots` squares of 10 x 10 cells at random places of u = 1/2, v = 1/4 and 1 % noise.
 *
 * Returns float32 [samples, frames, 2, side, side]; the same for the same options. Cost: about 20 flops a cell and step.
 *
 * Source: Pearson, Complex patterns in a simple system, Science 261 (1993), 189.
 */
export function grayScott(options?: GrayScottOptions): HostArray {
  const o = withDefaults<Required<GrayScottOptions>>('grayScott', options, {
    samples: 1,
    side: 64,
    frames: 20,
    interval: 100,
    diffusivity: [0.16, 0.08],
    feed: 0.037,
    kill: 0.06,
    spots: 3,
    seed: 0,
  });
  const refuse = (name: string, requirement: string, valid: boolean, value: unknown) =>
    requireArgument(valid, 'grayScott', () => `${name} must ${requirement}, got ${show(value)}`);
  for (const name of ['samples', 'frames', 'spots'] as const) {
    refuse(name, 'be an integer >= 0', Number.isInteger(o[name]) && o[name] >= 0, o[name]);
  }
  refuse('side', 'be an integer >= 4', Number.isInteger(o.side) && o.side >= 4, o.side);
  for (const name of ['interval', 'feed', 'kill'] as const) {
    refuse(name, 'be a finite number > 0', Number.isFinite(o[name]) && o[name] > 0, o[name]);
  }
  const valid = o.diffusivity.length === 2 && o.diffusivity.every((d) => d > 0 && d < Infinity);
  refuse('diffusivity', 'be two finite numbers > 0', valid, o.diffusivity);
  const plane = o.side * o.side;
  const data = new Float32Array(o.samples * o.frames * 2 * plane);
  for (let n = 0; n < o.samples; n++) {
    let state = startOf(o, new Random(o.seed, n));
    for (let f = 0; f < o.frames; f++) {
      if (f > 0) state = advance(state, o);
      data.set(state, (n * o.frames + f) * 2 * plane);
    }
  }
  return { data, shape: [o.samples, o.frames, 2, o.side, o.side] };
}

/** u, then v. */
function startOf({ side, spots }: Required<GrayScottOptions>, random: Random): Float64Array {
  const plane = side * side;
  const state = new Float64Array(2 * plane).fill(1, 0, plane);
  const size = Math.min(side, SPOT);
  for (let s = 0; s < spots; s++) {
    const [top, left] = [random.below(side), random.below(side)];
    for (let i = 0; i < size * size; i++) {
      const y = (top + Math.floor(i / size)) % side;
      const at = y * side + ((left + (i % size)) % side);
      state[at] = 0.5;
      state[plane + at] = 0.25;
    }
  }
  return state.map((value) => value * (1 + 0.01 * random.normal()));
}

function advance(
  state: Float64Array,
  { side, interval, diffusivity: [du, dv], feed, kill }: Required<GrayScottOptions>,
): Float64Array {
  const plane = side * side;
  const steps = Math.ceil(interval / Math.min(1, 1 / (8 * Math.max(du, dv))));
  const dt = interval / steps;
  let now: Float64Array = state;
  let next: Float64Array = new Float64Array(2 * plane);
  for (let step = 0; step < steps; step++) {
    for (let y = 0; y < side; y++) {
      const row = y * side;
      const up = (y === 0 ? side - 1 : y - 1) * side;
      const down = (y === side - 1 ? 0 : y + 1) * side;
      for (let x = 0; x < side; x++) {
        const left = x === 0 ? side - 1 : x - 1;
        const right = x === side - 1 ? 0 : x + 1;
        const laplacian = (at: number) =>
          now[at + up + x]! +
          now[at + down + x]! +
          now[at + row + left]! +
          now[at + row + right]! -
          4 * now[at + row + x]!;
        const [u, v] = [now[row + x]!, now[plane + row + x]!];
        const reaction = u * v * v;
        next[row + x] = u + dt * (du * laplacian(0) - reaction + feed * (1 - u));
        next[plane + row + x] = v + dt * (dv * laplacian(plane) + reaction - (feed + kill) * v);
      }
    }
    [now, next] = [next, now === state ? new Float64Array(2 * plane) : now];
  }
  return now;
}
