import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { advectSemiLagrangian2d } from '../ops/advection-semi-lagrangian';
import { add, mul } from '../ops/elementwise';
import { silu } from '../ops/elementwise-activation';
import { conv2d } from '../ops/linalg';
import { cat, reshape, unsqueeze } from '../ops/shape';
import { withDefaults } from '../ops/define';
import { Conv2d, LayerNorm, Module, normalParameter } from '../nn';

export interface OfficialADRNetOptions {
  /** Height and width of the fields: the normalisation has weights for each cell. */
  size: readonly [number, number];
  channels?: number;
  layers?: number;
}

type Size = readonly [number, number];

/** Conv_k -> LayerNorm over (H, W) -> SiLU -> Conv_k; biases, zero padding. */
class ConvNormActConv extends Module {
  readonly conv1: Conv2d;
  readonly norm: LayerNorm;
  readonly conv2: Conv2d;

  constructor(from: number, to: number, kernel: number, size: Size) {
    super();
    this.conv1 = new Conv2d(from, to, kernel, { padding: 'same' });
    this.norm = new LayerNorm([...size]);
    this.conv2 = new Conv2d(to, to, kernel, { padding: 'same' });
  }

  forward(x: Tensor): Tensor {
    return this.conv2.forward(silu(this.norm.forward(this.conv1.forward(x))));
  }
}

/** One component of the displacement, [N, C, H, W], in normalised coordinates: K2 SiLU(LN(K1 x + E(t T))) / H. */
class OfficialVelocity extends Module {
  readonly time: Tensor;
  readonly embed: ConvNormActConv;
  readonly conv: Conv2d;
  readonly norm: LayerNorm;
  readonly last: Tensor;

  constructor(
    channels: number,
    private readonly size: Size,
  ) {
    super();
    this.time = normalParameter([1, channels, ...size], 1e-4);
    this.embed = new ConvNormActConv(channels, channels, 3, size);
    this.conv = new Conv2d(channels, channels, 3, { padding: 1 });
    this.norm = new LayerNorm([...size]);
    this.last = normalParameter([channels, channels, 3, 3], 1e-4);
  }

  forward(x: Tensor, t: Tensor | number): Tensor {
    const embedded = this.embed.forward(mul(this.time, t));
    const hidden = silu(this.norm.forward(add(this.conv.forward(x), embedded)));
    return mul(conv2d(hidden, this.last, { padding: 1 }), 1 / this.size[0]);
  }
}

/** z + DR(z(x + U)) / H: transport and a 5x5 convolution block, inside the residual increment. */
class OfficialLayer extends Module {
  readonly u: OfficialVelocity;
  readonly v: OfficialVelocity;
  readonly reaction: ConvNormActConv;

  constructor(
    channels: number,
    private readonly size: Size,
  ) {
    super();
    this.u = new OfficialVelocity(channels, size);
    this.v = new OfficialVelocity(channels, size);
    this.reaction = new ConvNormActConv(channels, channels, 5, size);
  }

  forward(z: Tensor, t: Tensor | number): Tensor {
    const [h, w] = this.size;
    // The grid has its corners at the centres of the outer cells: one cell is 2 / (W - 1).
    const dx = unsqueeze(mul(this.u.forward(z, t), (w - 1) / 2), 2);
    const dy = unsqueeze(mul(this.v.forward(z, t), (h - 1) / 2), 2);
    const moved = advectSemiLagrangian2d(z, cat([dx, dy], { dim: 2 }), { boundary: 'zeros' });
    return add(z, mul(this.reaction.forward(moved), 1 / h));
  }
}

/**
 * The released advection-diffusion-reaction network:
 *
 *     z = CLP3(x);   z <- z + CLP5(z(x + (U, V))) / H   for each layer;   out = K z, K 1x1 without bias
 *
 * CLP is conv, LayerNorm over (H, W) with weights for each cell, SiLU, conv. Every channel has a displacement of
 * its own, made by two networks with a time embedding; bilinear, zeros outside. There is no separate diffusion,
 * and the identity path is never transported. Bound to one size of the fields.
 *
 * With 10 fields in and out, 256 channels, 9 layers and 64 x 64 cells it has 91,844,096 parameters.
 *
 * Source: the code released with arXiv 2406.19253 (names and layout of this class are ours).
 */
export class OfficialADRNet extends Module {
  readonly open: ConvNormActConv;
  readonly layers: OfficialLayer[] = [];
  readonly last: Tensor;
  private readonly size: Size;

  constructor(inChannels: number, outChannels: number, options: OfficialADRNetOptions) {
    super();
    const { size, channels, layers } = withDefaults<Required<OfficialADRNetOptions>>(
      'OfficialADRNet',
      options,
      { size: [0, 0], channels: 256, layers: 9 },
    );
    requireArgument(
      size.length === 2 && size.every((n) => Number.isInteger(n) && n > 0),
      'ADRNN',
      () => `size must be [height, width] in mode 'official', got ${show(options.size)}`,
    );
    this.size = size;
    this.open = new ConvNormActConv(inChannels, channels, 3, size);
    for (let i = 0; i < layers; i++) this.layers.push(new OfficialLayer(channels, size));
    this.last = normalParameter([outChannels, channels, 1, 1], 1e-2);
  }

  /** x [N, inChannels, H, W]; t [N], the time of each sample, or one number. Default 0, as in the recipe. */
  forward(x: Tensor, t: Tensor | number = 0): Tensor {
    const [h, w] = this.size;
    requireArgument(
      x.ndim === 4 && x.shape[2] === h && x.shape[3] === w,
      'ADRNN',
      () => `x must have shape [N, C, ${h}, ${w}], got [${x.shape.join(', ')}]`,
    );
    const time = typeof t === 'number' ? t : reshape(t, [t.size, 1, 1, 1]);
    let z = this.open.forward(x);
    for (const layer of this.layers) z = layer.forward(z, time);
    return conv2d(z, this.last);
  }
}
