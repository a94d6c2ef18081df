import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { HostArray } from './host-array';
import { Random } from './random';
import { ShallowWaterSolver, type ShallowWaterSolverOptions } from './shallow-water-solver';

export interface ShallowWaterOptions extends Pick<ShallowWaterSolverOptions, 'boundary' | 'flux'> {
  /** Number of runs. Default 1. */
  samples?: number;
  /** Cells along each side. Default 128. */
  side?: number;
  /** States that are kept, the first at time 0. Default 101. */
  frames?: number;
  /** Time of the last frame. Default 1. */
  time?: number;
  /** Side of the square domain, centred at 0. Default 5. */
  extent?: number;
  /** Depth inside of the dam and outside. Default [2, 1]. */
  depth?: readonly [number, number];
  /** Range of the dam's radius. Default [0.3, 0.7]. */
  radius?: readonly [number, number];
  /** The centre of the dam lies at random within this distance of 0 along each axis. Default 0. */
  offset?: number;
  /** Keeps the momenta too: 3 channels (h, h v_x, h v_y). Default false: the depth alone. */
  momentum?: boolean;
  /** Default 0. */
  seed?: number;
}

/**
 * Radial dam breaks: round columns of water of random radius that collapse, by {@link ShallowWaterSolver}.
 *
 * Returns float32 [samples, frames, 1 or 3, side, side]; the same for the same options. With the default options a
 * sample of 128 x 128 cells takes about 120 steps.
 *
 * Source: the set-up of the shallow water data of PDEBench (Takamoto et al., NeurIPS 2022); scheme and boundary ('wall')
 * are ours.
 */
export function shallowWater(options?: ShallowWaterOptions): HostArray {
  const o = withDefaults<Required<ShallowWaterOptions>>('shallowWater', options, {
    samples: 1,
    side: 128,
    frames: 101,
    time: 1,
    extent: 5,
    depth: [2, 1],
    radius: [0.3, 0.7],
    offset: 0,
    momentum: false,
    boundary: 'wall',
    flux: 'hll',
    seed: 0,
  });
  const refuse = (name: string, requirement: string, valid: boolean, value: unknown) =>
    requireArgument(valid, 'shallowWater', () => `${name} must ${requirement}, got ${show(value)}`);
  for (const name of ['samples', 'frames'] as const) {
    refuse(name, 'be an integer >= 0', Number.isInteger(o[name]) && o[name] >= 0, o[name]);
  }
  for (const name of ['time', 'extent'] as const) {
    refuse(name, 'be a finite number > 0', Number.isFinite(o[name]) && o[name] > 0, o[name]);
  }
  refuse(
    'depth',
    'be two numbers >= 0',
    o.depth.length === 2 && o.depth.every((d) => d >= 0),
    o.depth,
  );
  const [least, most] = o.radius;
  refuse('radius', 'be a range of numbers > 0', least > 0 && most >= least, o.radius);
  refuse('offset', 'be a finite number >= 0', Number.isFinite(o.offset) && o.offset >= 0, o.offset);
  const { side, frames } = o;
  const plane = side * side;
  const channels = o.momentum ? 3 : 1;
  const data = new Float32Array(o.samples * frames * channels * plane);
  for (let n = 0; n < o.samples; n++) {
    const random = new Random(o.seed, n);
    const solver = new ShallowWaterSolver({
      cells: [side, side],
      dx: o.extent / side,
      boundary: o.boundary,
      flux: o.flux,
    });
    const radius = least + (most - least) * random.uniform();
    const centre = [1, 1].map((one) => (2 * random.uniform() - one) * o.offset);
    for (let i = 0; i < plane; i++) {
      const place = (k: number) => ((k + 0.5) / side - 0.5) * o.extent;
      const [x, y] = [place(i % side) - centre[0]!, place(Math.floor(i / side)) - centre[1]!];
      solver.h[i] = Math.hypot(x, y) <= radius ? o.depth[0] : o.depth[1];
    }
    for (let f = 0; f < frames; f++) {
      if (f > 0) solver.advance(o.time / (frames - 1));
      const state = [solver.h, solver.hu, solver.hv].slice(0, channels);
      state.forEach((q, c) => data.set(q, ((n * frames + f) * channels + c) * plane));
    }
  }
  return { data, shape: [o.samples, frames, channels, side, side] };
}
