import { requireArgument, show } from '../errors';
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

/**
 * One step of IMEXnet at constant width, an explicit residual layer and an implicit one:
 *
 *     v = BN(x + dt K^T relu(BN(K x))),   w = (I + dt L^T L)^-1 v on each channel
 *
 * K [C, C, 3, 3] with zero padding, K^T its transpose with the same weights, both BN the same; L [C, 3, 3] with
 * periodic boundaries. The stencils act without their means, so that the implicit step keeps the mean of a channel.
 */
export class IMEXLayer extends Module {
  readonly kernel: Tensor;
  readonly norm: BatchNorm2d;
  readonly stencil: Tensor | null;

  constructor(
    channels: number,
    private readonly dt: number,
    private readonly variant: IMEXVariant,
  ) {
    super();
    this.kernel = weights([channels, channels, 3, 3], 1e-3);
    this.norm = new BatchNorm2d(channels);
    this.stencil =
      variant === 'zero'
        ? null
        : variant === 'implicit'
          ? weights([channels, 3, 3], 1)
          : parameter(
              tensor(
                Array.from({ length: channels }, () => LAPLACIAN),
                { shape: [channels, 3, 3] },
              ),
            );
  }

  forward(x: Tensor): Tensor {
    const kernel = zeroMean(this.kernel);
    const hidden = relu(this.norm.forward(conv2d(x, kernel, { padding: 1 })));
    const transposed = flip(permute(kernel, [1, 0, 2, 3]), [2, 3]);
    const z = conv2d(hidden, transposed, { padding: 1 });
    const moved = add(x, this.dt === 1 ? z : mul(z, this.dt));
    if (!this.stencil) return moved;
    const v = this.norm.forward(moved);
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

export interface IMEXNetOptions {
  /** Channels of the images. Default 1. */
  inChannels?: number;
  /** Number of classes of a pixel. Default 4. */
  classes?: number;
  /** Layers and channels of each block; the first layer of a block widens. Default [[4, 64], [4, 128], [4, 256]]. */
  blocks?: readonly (readonly [number, number])[];
  /** Step of every layer. Default 1. */
  dt?: number;
  /** Default 'implicit'; 'zero' is the residual network to compare with. */
  variant?: IMEXVariant;
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
    const { inChannels, classes, blocks, dt, variant } = withDefaults<Required<IMEXNetOptions>>(
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
        dt: 1,
        variant: 'implicit',
      },
    );
    const refuse = (name: string, requirement: string, value: unknown, valid: boolean) =>
      requireArgument(valid, 'IMEXNet', () => `${name} must ${requirement}, got ${show(value)}`);
    refuse('variant', `be one of ${VARIANTS.join(', ')}`, variant, VARIANTS.includes(variant));
    refuse('dt', 'be a finite number > 0', dt, Number.isFinite(dt) && dt > 0);
    const sizes = blocks.flat().concat(inChannels, classes);
    refuse(
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
          width === channels
            ? new IMEXLayer(channels, dt, variant)
            : new WidenLayer(width, channels),
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
