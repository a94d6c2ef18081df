import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { add, mul } from '../ops/elementwise';
import { silu } from '../ops/elementwise-activation';
import { avgPool2d, interpolate } from '../ops/linalg';
import { cat } from '../ops/shape';
import { assign } from '../tensor/assign';
import { Conv2d, GroupNorm, type Layer, type MeshFreeConv2dOptions, Module } from '../nn';
import {
  type SpatialConvolution,
  TimeEmbedding,
  requireConvolution,
  spatialConvolution,
} from './mfc-net';

/** S x + C2 silu(GN(C1 silu(GN(x)) + time)), S a 1x1 convolution where the channels change. */
class UNetBlock extends Module {
  readonly norm1: GroupNorm;
  readonly first: Layer;
  readonly norm2: GroupNorm;
  readonly second: Layer;
  readonly time: TimeEmbedding | null;
  readonly skip: Conv2d | null;

  constructor(
    from: number,
    to: number,
    groups: number,
    make: (from: number, to: number) => Layer,
    timed: boolean,
  ) {
    super();
    this.norm1 = new GroupNorm(groups, from);
    this.first = make(from, to);
    this.norm2 = new GroupNorm(groups, to);
    this.second = make(to, to);
    this.time = timed ? new TimeEmbedding(to) : null;
    this.skip = from === to ? null : new Conv2d(from, to, 1);
  }

  forward(x: Tensor, t?: Tensor): Tensor {
    const hidden = this.first.forward(silu(this.norm1.forward(x)));
    const timed = this.time && t ? add(hidden, this.time.forward(t)) : hidden;
    const increment = this.second.forward(silu(this.norm2.forward(timed)));
    return add(this.skip ? this.skip.forward(x) : x, increment);
  }
}

export interface MFCUNetOptions {
  /** Default 1. */
  inChannels?: number;
  /** Default: as many as the input has. */
  outChannels?: number;
  /** Channels of each resolution, from the finest; each is half as fine as the one before. Default [32, 64, 128]. */
  channels?: readonly number[];
  /** Groups of the group normalisations; divides every number of channels. Default 8. */
  groups?: number;
  /** Default 'mesh-free'. */
  convolution?: SpatialConvolution;
  /** Whether forward takes the time (noise level) of each sample. Default false. */
  time?: boolean;
  /** Domain, order and start of the mesh-free convolutions. */
  meshFreeOptions?: MeshFreeConv2dOptions;
}

/**
 * U-Net of mesh-free convolutions for images at any resolution that can be halved as often as it has levels:
 *
 *     open -> down: block, mean over 2 x 2 -> bottom: block -> up: linear interpolation by 2, concatenation with
 *     the field of the way down, block -> group norm, silu, close 1x1 (starts at 0)
 *
 * The convolutions know the physical size of the domain, which is the same on every level.
 *
 * Input [N, inChannels, H, W], t [N]; output [N, outChannels, H, W].
 *
 * Layout after the U-Net of the multiscale gradient estimation code (arXiv 2501.12739; one block for each level,
 * group normalisation, SiLU, no attention, no dropout); the mesh-free convolutions are a reconstruction.
 * docs/systems/mesh-free-networks.md.
 */
export class MFCUNet extends Module {
  readonly open: Layer;
  readonly down: UNetBlock[] = [];
  readonly up: UNetBlock[] = [];
  readonly norm: GroupNorm;
  readonly close: Conv2d;
  /** How it was made; stored beside saved weights. */
  readonly options: MFCUNetOptions;
  private readonly timed: boolean;

  constructor(options?: MFCUNetOptions) {
    super();
    this.options = options ?? {};
    const o = withDefaults<Required<MFCUNetOptions>>('MFCUNet', options, {
      inChannels: 1,
      outChannels: options?.inChannels ?? 1,
      channels: [32, 64, 128],
      groups: 8,
      convolution: 'mesh-free',
      time: false,
      meshFreeOptions: {},
    });
    requireConvolution('MFCUNet', o.convolution);
    requireArgument(
      o.channels.length > 0 && o.channels.every((c) => Number.isInteger(c / o.groups) && c > 0),
      'MFCUNet',
      () => `channels must be multiples of groups = ${o.groups}, got ${show(o.channels)}`,
    );
    this.timed = o.time;
    const make = (from: number, to: number) =>
      spatialConvolution(o.convolution, from, to, o.meshFreeOptions);
    const block = (from: number, to: number) => new UNetBlock(from, to, o.groups, make, o.time);
    this.open = make(o.inChannels, o.channels[0]!);
    o.channels.forEach((width, level) =>
      this.down.push(block(o.channels[Math.max(0, level - 1)]!, width)),
    );
    for (let level = o.channels.length - 2; level >= 0; level--) {
      this.up.push(block(o.channels[level]! + o.channels[level + 1]!, o.channels[level]!));
    }
    this.norm = new GroupNorm(o.groups, o.channels[0]!);
    this.close = new Conv2d(o.channels[0]!, o.outChannels, 1);
    noGrad(() => tidy(() => this.close.parameters().forEach((p) => assign(p, mul(p, 0)))));
  }

  forward(x: Tensor, t?: Tensor): Tensor {
    requireArgument(
      this.timed === (t !== undefined),
      'MFCUNet',
      () => `t must ${this.timed ? 'be given' : 'be absent'} with time: ${this.timed}`,
    );
    const halvings = this.down.length - 1;
    const [h, w] = x.shape.slice(-2) as [number, number];
    requireArgument(
      x.ndim === 4 && h % 2 ** halvings === 0 && w % 2 ** halvings === 0,
      'MFCUNet',
      () => `x must be [N, C, H, W], H and W multiples of ${2 ** halvings}, got ${show(x.shape)}`,
    );
    const fields: Tensor[] = [];
    let field = this.open.forward(x);
    this.down.forEach((block, level) => {
      field = block.forward(level > 0 ? avgPool2d(field, 2) : field, t);
      fields.push(field);
    });
    this.up.forEach((block, i) => {
      const finer = interpolate(field, { scaleFactor: 2, mode: 'bilinear' });
      field = block.forward(cat([finer, fields[halvings - 1 - i]!], { dim: 1 }), t);
    });
    return this.close.forward(silu(this.norm.forward(field)));
  }
}
