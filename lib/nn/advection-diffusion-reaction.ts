import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { adrStep2d, type AdrStep2dOptions } from '../ops/advection-adr-step';
import { advectSemiLagrangian2d } from '../ops/advection-semi-lagrangian';
import { withDefaults } from '../ops/define';
import { mul } from '../ops/elementwise';
import { type EpilogueOptions, conv2d } from '../ops/linalg';
import { isEpilogueActivation } from '../ops/linalg-epilogue';
import { reshape } from '../ops/shape';
import { ACTIVATIONS, type ActivationName } from './activation';
import { Conv2d } from './convolution';
import { Diffusion2d, type Diffusion2dOptions } from './diffusion';
import { Linear, requireSizes } from './linear';
import { Module } from './module';
import { GroupNorm } from './sample-normalization';

export interface AdvectionDiffusionReaction2dOptions {
  /** Step of the diffusion and the reaction. Default 1. */
  dt?: number;
  /** Hidden channels of the reaction. Default: as many as the input has. */
  hidden?: number;
  /**
   * Size of the first convolution of the reaction, odd. Default 1: pointwise, a reaction in the strict sense. 3 or 5
   * lets it see differences of neighbours (zero padding).
   */
  kernelSize?: number;
  /** Normalises what the reaction sees: mean and variance over a sample, weights for each channel. Default false. */
  normalize?: boolean;
  /** Default 'silu'. */
  activation?: ActivationName;
  /** What lies outside for the advection. Default 'zeros'. */
  advectionBoundary?: NonNullable<AdrStep2dOptions['advectionBoundary']>;
  /** Cell size, boundary, solver, scheme, initial diffusivities of the diffusion. */
  diffusionOptions?: Omit<Diffusion2dOptions, 'dt'>;
}

/** Activations that the fused step knows. */
const FUSED = ['relu', 'silu', 'gelu', 'tanh'] as const;
type FusedActivation = (typeof FUSED)[number];

/** A sample of more bytes does not stay in the cache of a core (2 MB or more on the machines measured). */
const FUSED_BYTES = 2 ** 21;

/**
 * One layer of an advection-diffusion-reaction network, by Lie splitting in this order:
 *
 *     a = u(x + d),   v = (I - dt k_c D)^-1 a,   w = v + dt (W2 act(W1 norm(v) + b1) + b2)
 *
 * W1 is pointwise, or a convolution with `kernelSize`; norm is absent without `normalize`.
 *
 * The displacement d [N or 1, 2, H, W] (cells, (x, y) order) or [N or 1, C, 2, H, W] is an input: it comes
 * from a velocity network. Where shapes and settings allow (one displacement for all channels, tridiagonal backward
 * Euler, relu, silu, gelu or tanh, a pointwise reaction without norm, a sample of all channels within 2 MB) it is
 * one fused operation, {@link adrStep2d}, else the composition of its parts; the results agree to rounding.
 */
export class AdvectionDiffusionReaction2d extends Module {
  readonly diffusion: Diffusion2d;
  readonly norm: GroupNorm | null;
  /** W1 [hidden, C], or [hidden, C, k, k] with a kernel size k > 1, and b1. */
  readonly first: Linear | Conv2d;
  /** W2 [C, hidden] and b2. */
  readonly second: Linear;
  private readonly dt: number;
  private readonly activation: ActivationName;
  private readonly advectionBoundary: NonNullable<AdrStep2dOptions['advectionBoundary']>;

  constructor(channels: number, options?: AdvectionDiffusionReaction2dOptions) {
    super();
    const op = 'AdvectionDiffusionReaction2d';
    requireSizes(op, { channels });
    const o = withDefaults<Required<AdvectionDiffusionReaction2dOptions>>(op, options, {
      dt: 1,
      hidden: channels,
      kernelSize: 1,
      normalize: false,
      activation: 'silu',
      advectionBoundary: 'zeros',
      diffusionOptions: {},
    });
    requireArgument(
      Number.isInteger(o.kernelSize) && o.kernelSize > 0 && o.kernelSize % 2 === 1,
      op,
      () => `kernelSize must be an odd integer > 0, got ${show(o.kernelSize)}`,
    );
    this.dt = o.dt;
    this.activation = o.activation;
    this.advectionBoundary = o.advectionBoundary;
    this.diffusion = new Diffusion2d(channels, { ...o.diffusionOptions, dt: o.dt });
    this.norm = o.normalize ? new GroupNorm(1, channels) : null;
    this.first =
      o.kernelSize === 1
        ? new Linear(channels, o.hidden)
        : new Conv2d(channels, o.hidden, o.kernelSize, { padding: 'same' });
    this.second = new Linear(o.hidden, channels);
  }

  /** Whether an input and a displacement take the fused operation. */
  fuses(u: Tensor, displacement: Tensor): boolean {
    const [, ...sample] = u.shape;
    const bytes = sample.reduce((a, b) => a * b, u.dtype === 'float64' ? 8 : 4);
    return (
      displacement.ndim === 4 &&
      this.first instanceof Linear &&
      !this.norm &&
      this.diffusion.solver === 'tridiagonal' &&
      this.diffusion.settings.scheme === 'backward-euler' &&
      (FUSED as readonly string[]).includes(this.activation) &&
      bytes <= FUSED_BYTES
    );
  }

  forward(u: Tensor, displacement: Tensor): Tensor {
    return this.fuses(u, displacement)
      ? this.fused(u, displacement)
      : this.composed(u, displacement);
  }

  private fused(u: Tensor, displacement: Tensor): Tensor {
    const { dx, dy, boundary } = this.diffusion.settings;
    return adrStep2d(
      u,
      displacement,
      this.diffusion.diffusivity(),
      {
        weight1: this.first.weight,
        bias1: this.first.bias,
        weight2: this.second.weight,
        bias2: this.second.bias,
        activation: this.activation as FusedActivation,
      },
      {
        dt: this.dt,
        dx,
        dy,
        advectionBoundary: this.advectionBoundary,
        diffusionBoundary: boundary,
      },
    );
  }

  private composed(u: Tensor, displacement: Tensor): Tensor {
    return this.react(this.diffuse(this.advect(u, displacement)));
  }

  /** The advection alone: 'color' gathers at x + d, 'mass' scatters to x + d. */
  advect(u: Tensor, displacement: Tensor, transport: 'color' | 'mass' = 'color'): Tensor {
    return advectSemiLagrangian2d(u, displacement, { boundary: this.advectionBoundary, transport });
  }

  /** The diffusion alone, over `fraction` of the step. */
  diffuse(u: Tensor, fraction = 1): Tensor {
    return this.diffusion.forward(u, fraction);
  }

  /** The reaction alone, over `fraction` of the step: v + fraction dt R(v). */
  react(v: Tensor, fraction = 1): Tensor {
    const { activation } = this;
    const dt = fraction * this.dt;
    const convolve = (x: Tensor, weight: Tensor, epilogue: EpilogueOptions) =>
      weight.ndim === 4
        ? conv2d(x, weight, { padding: (weight.shape[2]! - 1) / 2, ...epilogue })
        : conv2d(x, reshape(weight, [...weight.shape, 1, 1]), epilogue);
    const fused = isEpilogueActivation(activation);
    const first = convolve(this.norm ? this.norm.forward(v) : v, this.first.weight, {
      bias: this.first.bias,
      activation: fused ? activation : 'none',
    });
    const hidden = fused ? first : ACTIVATIONS[activation](first);
    const scaled = (t: Tensor) => (dt === 1 ? t : mul(t, dt));
    return convolve(hidden, scaled(this.second.weight), {
      bias: this.second.bias && scaled(this.second.bias),
      residual: v,
    });
  }
}
