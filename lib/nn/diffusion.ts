import { requireArgument, show } from '../errors';
import { toTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { Tensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { softplus } from '../ops/elementwise-activation';
import { type Boundary, type DiffusionScheme, implicitDiffusion2d } from '../ops/diffusion';
import { withDefaults } from '../ops/define';
import { requireSizes } from './linear';
import { Module, parameter } from './module';

export interface Diffusion2dOptions {
  /** Time step of the layer. Default 1. */
  dt?: number;
  /** Cell width. Default 1: diffusivities in pixels^2 per time. 1/W makes them independent of resolution. */
  dx?: number;
  /** Cell height. Default dx. */
  dy?: number;
  /** Default 'neumann'. */
  boundary?: Boundary;
  /** Default 'backward-euler'. */
  scheme?: DiffusionScheme;
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
 * Learned implicit diffusion: w = (I - dt k_c D)^-1 u on each channel c, k_c = softplus(rawDiffusivity_c)
 * > 0. Stable for every dt and every k; conserves the mean of a channel (Neumann, periodic).
 *
 * Equation and costs: {@link implicitDiffusion2d}.
 */
export class Diffusion2d extends Module {
  /** [C] or [C, 2]; the diffusivity is its softplus. */
  readonly rawDiffusivity: Tensor;
  readonly settings: {
    dt: number;
    dx: number;
    dy: number;
    boundary: Boundary;
    scheme: DiffusionScheme;
  };

  constructor(channels: number, options?: Diffusion2dOptions) {
    super();
    requireSizes('Diffusion2d', { channels });
    const dx = options?.dx ?? 1;
    const { perAxis, initial, ...settings } = withDefaults<Required<Diffusion2dOptions>>(
      'Diffusion2d',
      options,
      {
        dt: 1,
        dx,
        dy: dx,
        boundary: 'neumann',
        scheme: 'backward-euler',
        perAxis: false,
        initial: [0.1, 1],
      },
    );
    this.settings = settings;
    const [low, high] = typeof initial === 'number' ? [initial, initial] : initial;
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

  /** The diffusivities, [C] or [C, 2], in dx^2 / dt units of the layer; differentiable. */
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

  forward(u: Tensor): Tensor {
    return implicitDiffusion2d(u, this.diffusivity(), this.settings);
  }
}
