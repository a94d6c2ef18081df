import { requireArgument, requireOption } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { tensor } from '../ops/creation';
import { withDefaults } from '../ops/define';
import { abs, add, div, mul, sub } from '../ops/elementwise';
import { relu } from '../ops/elementwise-activation';
import { real } from '../ops/complex';
import { conv2d } from '../ops/linalg';
import { rand } from '../ops/random';
import { mean } from '../ops/reduce';
import { flip, pad, permute, reshape, roll } from '../ops';
import { stencilDiffusion2d } from '../ops/spectral-diffusion';
import { irfft2, rfft2 } from '../ops/spectral-fourier';
import { BatchNorm2d, Module, parameter } from '../nn';

/** What the implicit step of a layer is: (I + dt L^T L)^-1, (I + dt |L|)^-1, or nothing. */
export type IMEXVariant = 'implicit' | 'laplacian' | 'zero';
const VARIANTS: readonly IMEXVariant[] = ['implicit', 'laplacian', 'zero'];

function weights(shape: number[], scale: number): Tensor {
  return parameter(noGrad(() => tidy(() => rand(shape).mul(scale))));
}

/** Each 3x3 stencil without its mean: it sees no constant field. */
function zeroMean(stencils: Tensor): Tensor {
  return sub(stencils, mean(stencils, { dim: [-2, -1], keepdim: true }));
}

/** The 9-point Laplacian of IMEXnet's 'laplacian' variant, times 1e-2. */
const LAPLACIAN = [-1, -4, -1, -4, 20, -4, -1, -4, -1].map((v) => (1e-2 * v) / 6);

/** Changes the width: relu(BN(K x)), K 3x3 with zero padding. */
class WidenLayer extends Module {
  readonly kernel: Tensor;
  readonly norm: BatchNorm2d;

  constructor(from: number, to: number) {
    super();
    this.kernel = weights([to, from, 3, 3], 1e-3);
    this.norm = new BatchNorm2d(to);
  }

  forward(x: Tensor): Tensor {
    return relu(this.norm.forward(conv2d(x, zeroMean(this.kernel), { padding: 1 })));
  }
}

export interface IMEXLayerOptions {
  /** Step, > 0. Default 1. */
  dt?: number;
  /** Default 'implicit'; 'zero' is the residual layer to compare with. */
  variant?: IMEXVariant;
  /**
   * 'shared': both batch normalisations of a layer are one, as published; its running statistics then mix those of two
   * different fields, and fit neither when the network is evaluated. 'separate': one each. Default 'shared'. The
   * variant 'zero' has one only.
   */
  norm?: 'shared' | 'separate';
  /**
   * Factor of the stencils' start, or a range spread evenly over the channels on a logarithmic scale. What one step of
   * 'implicit' spreads decays over about factor * sqrt(dt) cells, along a direction of each channel. Default 1, as
   * published.
   */
  initialStencil?: number | readonly [number, number];
}

const LAYER_DEFAULTS: Required<IMEXLayerOptions> = {
  dt: 1,
  variant: 'implicit',
  norm: 'shared',
  initialStencil: 1,
};

function layerOptions(op: string, options?: IMEXLayerOptions): Required<IMEXLayerOptions> {
  const o = withDefaults(op, options, LAYER_DEFAULTS, ['initialStencil']);
  requireOption(
    op,
    'variant',
    `be one of ${VARIANTS.join(', ')}`,
    o.variant,
    VARIANTS.includes(o.variant),
  );
  requireOption(op, 'dt', 'be a finite number > 0', o.dt, Number.isFinite(o.dt) && o.dt > 0);
  const norms = ['shared', 'separate'];
  requireOption(op, 'norm', `be one of ${norms.join(', ')}`, o.norm, norms.includes(o.norm));
  const [low, high] = rangeOf(o.initialStencil);
  const valid = Number.isFinite(low) && low > 0 && Number.isFinite(high) && high >= low;
  requireOption(
    op,
    'initialStencil',
    'be a number > 0 or a range of such',
    o.initialStencil,
    valid,
  );
  return o;
}

/** Of anything else: no range. */
const rangeOf = (value: number | readonly [number, number]): readonly [number, number] =>
  typeof value === 'number' ? [value, value] : Array.isArray(value) ? value : [NaN, NaN];

/** The stencils [channels, 3, 3] at the start. */
function stencils(channels: number, options: Required<IMEXLayerOptions>): Tensor | null {
  if (options.variant === 'zero') return null;
  const [low, high] = rangeOf(options.initialStencil);
  const factors = Array.from(
    { length: channels },
    (_, c) => low * (high / low) ** (channels > 1 ? c / (channels - 1) : 0),
  );
  return noGrad(() =>
    tidy(() => {
      const start =
        options.variant === 'implicit'
          ? rand([channels, 3, 3])
          : tensor(LAPLACIAN, { shape: [1, 3, 3] });
      return parameter(mul(start, tensor(factors, { shape: [channels, 1, 1] })));
    }),
  );
}

/**
 * One step of IMEXnet at constant width, an explicit residual layer and an implicit one:
 *
 *     v = BN(x + dt K^T relu(BN(K x))),   w = (I + dt L^T L)^-1 v on each channel
 *
 * K [C, C, 3, 3] with zero padding, K^T its transpose with the same weights, both BN the same (`norm`); L [C, 3, 3] with
 * periodic boundaries. The stencils act without their means, so that the implicit step keeps the mean of a channel.
 */
export class IMEXLayer extends Module {
  readonly kernel: Tensor;
  readonly norm: BatchNorm2d;
  /** The second normalisation where it is separate. */
  readonly secondNorm: BatchNorm2d | null;
  readonly stencil: Tensor | null;
  private readonly dt: number;
  private readonly variant: IMEXVariant;

  constructor(channels: number, options?: IMEXLayerOptions) {
    super();
    const o = layerOptions('IMEXLayer', options);
    this.dt = o.dt;
    this.variant = o.variant;
    this.kernel = weights([channels, channels, 3, 3], 1e-3);
    this.norm = new BatchNorm2d(channels);
    this.secondNorm =
      o.norm === 'separate' && o.variant !== 'zero' ? new BatchNorm2d(channels) : null;
    this.stencil = stencils(channels, o);
  }

  forward(x: Tensor): Tensor {
    const kernel = zeroMean(this.kernel);
    const hidden = relu(this.norm.forward(conv2d(x, kernel, { padding: 1 })));
    const transposed = flip(permute(kernel, [1, 0, 2, 3]), [2, 3]);
    const z = conv2d(hidden, transposed, { padding: 1 });
    const moved = add(x, this.dt === 1 ? z : mul(z, this.dt));
    if (!this.stencil) return moved;
    const v = (this.secondNorm ?? this.norm).forward(moved);
    const stencil = zeroMean(this.stencil);
    return this.variant === 'implicit'
      ? stencilDiffusion2d(v, stencil, { dt: this.dt })
      : this.symmetricStep(v, stencil);
  }

  /** (I + dt |Re L|)^-1, the modulus taken in Fourier space. */
  private symmetricStep(v: Tensor, stencil: Tensor): Tensor {
    const [h, w] = v.shape.slice(2) as [number, number];
    requireArgument(
      h >= 3 && w >= 3,
      'IMEXNet',
      () => `x must have at least 3 x 3 cells for the variant 'laplacian', got ${h} x ${w}`,
    );
    const embedded = roll(pad(stencil, [0, w - 3, 0, h - 3]), [-1, -1], { dims: [1, 2] });
    const symbol = add(mul(abs(real(rfft2(embedded))), this.dt), 1);
    return irfft2(div(rfft2(v), symbol), { s: [h, w] });
  }
}

export interface IMEXNetOptions extends IMEXLayerOptions {
  /** Channels of the images. Default 1. */
  inChannels?: number;
  /** Number of classes of a pixel. Default 4. */
  classes?: number;
  /** Layers and channels of each block; the first layer of a block widens. Default [[4, 64], [4, 128], [4, 256]]. */
  blocks?: readonly (readonly [number, number])[];
}

/**
 * IMEXnet for segmentation: explicit convolutions and an implicit step in each layer, whose receptive field is the
 * whole image. Full resolution throughout; logits of each pixel by a 1x1 convolution without bias.
 *
 * Input [N, inChannels, H, W], output [N, classes, H, W]. Boundaries are mixed, as published: zeros around the
 * explicit convolutions, periodic in the implicit step.
 *
 * The released code takes the means of the stencils out in place before each forward pass and differentiates as if
 * they were none of its business; here the projection belongs to the function. For gradient descent without weight
 * decay both give the same iterates, since the projection is linear and idempotent.
 *
 * Source: Haber, Lensink, Treister, Ruthotto, IMEXnet, ICML 2019; layer and start as in the released code.
 */
export class IMEXNet extends Module {
  readonly layers: (WidenLayer | IMEXLayer)[] = [];
  readonly head: Tensor;
  /** How it was made; stored beside saved weights. */
  readonly options: IMEXNetOptions;

  constructor(options?: IMEXNetOptions) {
    super();
    this.options = options ?? {};
    const { inChannels, classes, blocks, ...layer } = withDefaults<Required<IMEXNetOptions>>(
      'IMEXNet',
      options,
      {
        inChannels: 1,
        classes: 4,
        blocks: [
          [4, 64],
          [4, 128],
          [4, 256],
        ],
        ...LAYER_DEFAULTS,
      },
      ['initialStencil'],
    );
    layerOptions('IMEXNet', layer);
    const sizes = blocks.flat().concat(inChannels, classes);
    requireOption(
      'IMEXNet',
      'blocks',
      'be [layers, channels] of whole numbers > 0, as inChannels and classes',
      sizes,
      blocks.length > 0 &&
        blocks.every((b) => b.length === 2) &&
        sizes.every((n) => Number.isInteger(n) && n > 0),
    );
    let width = inChannels;
    for (const [count, channels] of blocks) {
      for (let i = 0; i < count; i++) {
        this.layers.push(
          width === channels ? new IMEXLayer(channels, layer) : new WidenLayer(width, channels),
        );
        width = channels;
      }
    }
    this.head = weights([classes, width], 1e-3);
  }

  forward(x: Tensor): Tensor {
    const field = this.layers.reduce((u, layer) => layer.forward(u), x);
    return conv2d(field, reshape(this.head, [...this.head.shape, 1, 1]));
  }
}
