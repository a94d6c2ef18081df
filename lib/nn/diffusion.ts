import { requireArgument, requireOption, show } from '../errors';
import { toTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { softplus } from '../ops/elementwise-activation';
import { type Boundary, type DiffusionScheme, implicitDiffusion2d } from '../ops/diffusion';
import { type SpectralScheme, spectralDiffusion2d } from '../ops/spectral-diffusion';
import { withDefaults } from '../ops/define';
import { requireSizes } from './linear';
import { Module, parameter } from './module';

/** How the step of {@link Diffusion2d} is computed. */
export type DiffusionSolver = 'tridiagonal' | 'spectral';
const SOLVERS: readonly DiffusionSolver[] = ['tridiagonal', 'spectral'];

export interface Diffusion2dOptions {
  /** Time step of the layer. Default 1. */
  dt?: number;
  /** Cell width. Default 1: diffusivities in pixels^2 per time. 1/W makes them independent of resolution. */
  dx?: number;
  /** Cell height. Default dx. */
  dy?: number;
  /** Default 'neumann'. */
  boundary?: Boundary;
  /**
   * 'tridiagonal': along x, then along y, each by elimination (O(H W)). 'spectral': both at once, by cosine, sine or
   * Fourier transforms (O(H W log(H W))), which needs no splitting. Default 'tridiagonal'.
   */
  solver?: DiffusionSolver;
  /** Default 'backward-euler'; 'exponential' with the solver 'spectral' only. */
  scheme?: DiffusionScheme | SpectralScheme;
  /** One diffusivity along x and one along y for each channel. Default false: one per channel. */
  perAxis?: boolean;
  /** Diffusivities at the start, spread evenly over the channels on a logarithmic scale. Default [0.1, 1]. */
  initial?: number | [number, number];
}

/** The inverse of softplus: log(e^y - 1). */
function inverseSoftplus(y: number): number {
  return y > 30 ? y : Math.log(Math.expm1(y));
}

/**
 * Learned implicit diffusion on each channel c, k_c = softplus(rawDiffusivity_c) > 0:
 *
 *     'tridiagonal'    (I - dt k_c D_y)(I - dt k_c D_x) w = u
 *     'spectral'       (I - dt k_c (D_x + D_y)) w = u
 *
 * (backward Euler; with `perAxis` each direction has its own k). Both are stable for every dt and every k, and conserve
 * the mean of a channel (Neumann, periodic). They differ by dt^2 k^2 D_x D_y.
 *
 * Equations and costs: {@link implicitDiffusion2d}, {@link spectralDiffusion2d}.
 */
export class Diffusion2d extends Module {
  /** [C] or [C, 2]; the diffusivity is its softplus. */
  readonly rawDiffusivity: Tensor;
  readonly settings: {
    dt: number;
    dx: number;
    dy: number;
    boundary: Boundary;
    scheme: DiffusionScheme | SpectralScheme;
  };
  readonly solver: DiffusionSolver;

  constructor(channels: number, options?: Diffusion2dOptions) {
    super();
    requireSizes('Diffusion2d', { channels });
    requireOption('Diffusion2d', 'channels', 'be at most 2^24', channels, channels <= 2 ** 24);
    const dx = options?.dx ?? 1;
    const { perAxis, initial, solver, ...settings } = withDefaults<Required<Diffusion2dOptions>>(
      'Diffusion2d',
      options,
      {
        dt: 1,
        dx,
        dy: dx,
        boundary: 'neumann',
        solver: 'tridiagonal',
        scheme: 'backward-euler',
        perAxis: false,
        initial: [0.1, 1],
      },
    );
    requireArgument(
      SOLVERS.includes(solver),
      'Diffusion2d',
      () => `solver must be one of ${SOLVERS.join(', ')}, got ${show(solver)}`,
    );
    requireArgument(
      settings.scheme !== 'exponential' || solver === 'spectral',
      'Diffusion2d',
      () => `scheme 'exponential' needs the solver 'spectral', got ${show(solver)}`,
    );
    this.settings = settings;
    this.solver = solver;
    const range: readonly unknown[] = Array.isArray(initial) ? initial : [initial, initial];
    const [low, high] = range.map((end) => (typeof end === 'number' ? end : NaN)) as [
      number,
      number,
    ];
    requireArgument(
      low > 0 && high >= low && Number.isFinite(high),
      'Diffusion2d',
      () => `initial must be a number > 0 or a range of such numbers, got ${show(initial)}`,
    );
    const axes = perAxis ? 2 : 1;
    const raw = Array.from({ length: channels * axes }, (_, i) => {
      const position = channels > 1 ? Math.floor(i / axes) / (channels - 1) : 0;
      return inverseSoftplus(low * (high / low) ** position);
    });
    const shape = perAxis ? [channels, 2] : [channels];
    this.rawDiffusivity = parameter(
      new Tensor(upload(toTypedArray('float32', raw), 'float32', shape)),
    );
  }

  /** The diffusivities, [C] or [C, 2] (along x, along y), in length^2 / time, as dx and dt are; differentiable. */
  diffusivity(): Tensor {
    return softplus(this.rawDiffusivity);
  }

  /** The diffusivities as numbers. */
  async readDiffusivity(): Promise<Float64Array> {
    const value = noGrad(() => this.diffusivity());
    const data = await value.data();
    value.dispose();
    return Float64Array.from(data);
  }

  /**
   * How far a step blurs, in cells, for each value of {@link readDiffusivity}: sqrt(2 k dt) / dx. With every solver and
   * scheme this is the standard deviation along an axis of the field that a single cell spreads to, far from walls.
   * (One diffusivity for both axes: along x; along y it is dx / dy of that.)
   */
  async readBlurWidth(): Promise<Float64Array> {
    const { dt, dx, dy } = this.settings;
    const perAxis = this.rawDiffusivity.ndim === 2;
    const diffusivities = await this.readDiffusivity();
    return diffusivities.map((k, i) => Math.sqrt(2 * k * dt) / (perAxis && i % 2 === 1 ? dy : dx));
  }

  /** The step; `fraction` of it where a splitting takes it in parts. */
  forward(u: Tensor, fraction = 1): Tensor {
    const { scheme, ...settings } = this.settings;
    const options = { ...settings, dt: fraction * settings.dt };
    if (this.solver === 'spectral' || scheme === 'exponential') {
      return spectralDiffusion2d(u, this.diffusivity(), { ...options, scheme });
    }
    return implicitDiffusion2d(u, this.diffusivity(), { ...options, scheme });
  }
}
