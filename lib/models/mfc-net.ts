import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { tensor } from '../ops/creation';
import { withDefaults } from '../ops/define';
import { add, cos, mul, sin } from '../ops/elementwise';
import { leakyRelu } from '../ops/elementwise-activation';
import { layerNorm } from '../ops/linalg';
import { cat, reshape } from '../ops/shape';
import { assign } from '../tensor/assign';
import {
  Conv2d,
  type Layer,
  Linear,
  MeshFreeConv2d,
  type MeshFreeConv2dOptions,
  Module,
} from '../nn';

/** 'mesh-free' convolutions, or 3x3 ones with zero padding to compare with. */
export type SpatialConvolution = 'mesh-free' | '3x3';

export function requireConvolution(op: string, convolution: unknown): void {
  requireArgument(
    convolution === 'mesh-free' || convolution === '3x3',
    op,
    () => `convolution must be 'mesh-free' or '3x3', got ${show(convolution)}`,
  );
}

/** A layer of the kind, from one number of channels to another, on every mesh. */
export function spatialConvolution(
  kind: SpatialConvolution,
  from: number,
  to: number,
  options?: MeshFreeConv2dOptions,
): Layer {
  return kind === 'mesh-free'
    ? new MeshFreeConv2d(from, to, options)
    : new Conv2d(from, to, 3, { padding: 1 });
}

/** Frequencies of the time embedding: 2^0 to 2^(k - 1) half turns over [0, 1]. */
const TIME_FREQUENCIES = 8;

/** Adds to each channel a linear function of cos and sin (pi 2^k t), k < 8: what a layer sees of the noise level. */
export class TimeEmbedding extends Module {
  readonly linear: Linear;

  constructor(channels: number) {
    super();
    this.linear = new Linear(2 * TIME_FREQUENCIES, channels);
  }

  /** t [N] to [N, C, 1, 1]. */
  forward(t: Tensor): Tensor {
    const frequencies = Array.from({ length: TIME_FREQUENCIES }, (_, k) => Math.PI * 2 ** k);
    const { dtype, device } = t;
    const phases = mul(reshape(t, [t.size, 1]), tensor(frequencies, { dtype, device }));
    const embedded = this.linear.forward(cat([cos(phases), sin(phases)], { dim: 1 }));
    return reshape(embedded, [...embedded.shape, 1, 1]);
  }
}

/** x + C2 leakyRelu(LN(C1 x + time)), LN over a whole sample and without weights: it fits every resolution. */
class ResidualBlock extends Module {
  readonly first: Layer;
  readonly second: Layer;
  readonly time: TimeEmbedding | null;

  constructor(channels: number, make: (from: number, to: number) => Layer, timed: boolean) {
    super();
    this.first = make(channels, channels);
    this.second = make(channels, channels);
    this.time = timed ? new TimeEmbedding(channels) : null;
  }

  forward(x: Tensor, t?: Tensor): Tensor {
    const hidden = this.first.forward(x);
    const timed = this.time && t ? add(hidden, this.time.forward(t)) : hidden;
    const active = leakyRelu(layerNorm(timed, timed.shape.slice(1)), { negativeSlope: 0.2 });
    return add(x, this.second.forward(active));
  }
}

export interface MFCNetOptions {
  /** Default 1. */
  inChannels?: number;
  /** Default: as many as the input has. */
  outChannels?: number;
  /** Default 64. */
  channels?: number;
  /** Residual blocks of two convolutions. Default 2. */
  blocks?: number;
  /** Default 'mesh-free'. */
  convolution?: SpatialConvolution;
  /** Whether forward takes the time (noise level) of each sample. Default false. */
  time?: boolean;
  /** Domain, order and start of the mesh-free convolutions. */
  meshFreeOptions?: MeshFreeConv2dOptions;
}

/**
 * Residual network of mesh-free convolutions for images at any resolution:
 *
 *     open 1x1 -> blocks x + C2 leakyRelu(LN(C1 x + TimeEmbedding(t))) -> close 1x1 (its weights start small)
 *
 * With mesh-free convolutions the same weights are one operator on every mesh, so that coarse and fine images of
 * one scene give coarse and fine values of one result: what multiscale training lives on.
 *
 * Input [N, inChannels, H, W] (even H and W where it is restricted), t [N]; output [N, outChannels, H, W].
 *
 * Layout after the residual network of the multiscale gradient estimation code (arXiv 2501.12739); the time
 * embedding and the mesh-free convolutions are reconstructions. docs/systems/mesh-free-networks.md.
 */
export class MFCNet extends Module {
  readonly open: Conv2d;
  readonly blocks: ResidualBlock[];
  readonly close: Conv2d;
  /** How it was made; stored beside saved weights. */
  readonly options: MFCNetOptions;
  private readonly timed: boolean;

  constructor(options?: MFCNetOptions) {
    super();
    this.options = options ?? {};
    const o = withDefaults<Required<MFCNetOptions>>('MFCNet', options, {
      inChannels: 1,
      outChannels: options?.inChannels ?? 1,
      channels: 64,
      blocks: 2,
      convolution: 'mesh-free',
      time: false,
      meshFreeOptions: {},
    });
    requireConvolution('MFCNet', o.convolution);
    requireArgument(
      Number.isInteger(o.blocks) && o.blocks >= 0,
      'MFCNet',
      () => `blocks must be an integer >= 0, got ${show(o.blocks)}`,
    );
    this.timed = o.time;
    const make = (from: number, to: number) =>
      spatialConvolution(o.convolution, from, to, o.meshFreeOptions);
    this.open = new Conv2d(o.inChannels, o.channels, 1);
    this.blocks = Array.from(
      { length: o.blocks },
      () => new ResidualBlock(o.channels, make, o.time),
    );
    this.close = new Conv2d(o.channels, o.outChannels, 1);
    assign(this.close.weight, mul(this.close.weight.detach(), 1e-3));
  }

  forward(x: Tensor, t?: Tensor): Tensor {
    requireArgument(
      this.timed === (t !== undefined),
      'MFCNet',
      () => `t must ${this.timed ? 'be given' : 'be absent'} with time: ${this.timed}`,
    );
    const field = this.blocks.reduce((u, block) => block.forward(u, t), this.open.forward(x));
    return this.close.forward(field);
  }
}
