import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import {
  Activation,
  type ActivationName,
  BatchNorm2d,
  Conv2d,
  Diffusion2d,
  type Diffusion2dOptions,
  type Layer,
  Linear,
  MaxPool2d,
  Module,
  Reaction,
  Sequential,
} from '../nn';
import { mean } from '../ops/reduce';

export interface RDLayerOptions {
  /** Step of the reaction and of the diffusion. Default 1. */
  dt?: number;
  /** 'reaction-first': (I + dt k A) w = u + dt R(u), as IMEXnet. 'diffusion-first': the commuted order. */
  order?: 'reaction-first' | 'diffusion-first';
  /** false leaves the diffusion out: a plain residual layer, to compare with. Default true. */
  diffusion?: boolean;
  /** Cell size, boundary, scheme, initial diffusivities of the diffusion. */
  diffusionOptions?: Omit<Diffusion2dOptions, 'dt'>;
  /** Kernel of the reaction's first convolution. Default 3. */
  kernelSize?: number;
  /** Default 'relu'. */
  activation?: ActivationName;
}

const LAYER_DEFAULTS: Required<RDLayerOptions> = {
  dt: 1,
  order: 'reaction-first',
  diffusion: true,
  diffusionOptions: {},
  kernelSize: 3,
  activation: 'relu',
};

/**
 * One layer of RDNN: explicit reaction, implicit diffusion, by Lie splitting of u_t = k Lap u + R(u).
 *
 *     reaction-first     w = (I - dt k_c D)^-1 (u + dt R(u))
 *     diffusion-first    v = (I - dt k_c D)^-1 u,   w = v + dt R(v)
 *
 * The solve never amplifies, forward or backward, for any dt and k.
 */
export class RDLayer extends Module {
  readonly reaction: Reaction;
  readonly diffusion: Diffusion2d | null;
  private readonly dt: number;
  private readonly reactionFirst: boolean;

  constructor(channels: number, options?: RDLayerOptions) {
    super();
    const o = withDefaults('RDLayer', options, LAYER_DEFAULTS);
    requireArgument(
      o.order === 'reaction-first' || o.order === 'diffusion-first',
      'RDLayer',
      () => `order must be 'reaction-first' or 'diffusion-first', got ${show(o.order)}`,
    );
    this.dt = o.dt;
    this.reactionFirst = o.order === 'reaction-first';
    this.reaction = new Reaction(channels, { kernelSize: o.kernelSize, activation: o.activation });
    this.diffusion = o.diffusion
      ? new Diffusion2d(channels, { ...o.diffusionOptions, dt: o.dt })
      : null;
  }

  private diffuse(u: Tensor): Tensor {
    return this.diffusion ? this.diffusion.forward(u) : u;
  }

  forward(u: Tensor): Tensor {
    const react = (v: Tensor) => this.reaction.step(v, this.dt);
    return this.reactionFirst ? this.diffuse(react(u)) : react(this.diffuse(u));
  }
}

export interface RDNNOptions extends RDLayerOptions {
  /** Channels of the images. Default 1. */
  inChannels?: number;
  /** Number of classes. Default 10. */
  classes?: number;
  /** Channels of each block; the resolution is halved between blocks. Default [16, 32]. */
  channels?: readonly number[];
  /** RD layers in each block, one number for all or one for each. Default 2. */
  layersPerBlock?: number | readonly number[];
}

/**
 * Reaction-diffusion network for image classification.
 *
 *     open (conv 3x3, norm) -> blocks of RD layers; between them max-pool by 2 and widen (conv 3x3, norm,
 *     activation) -> mean over the plane -> linear
 *
 * The layer follows the published idea (implicit diffusion and explicit reaction in each layer); the
 * layout of the whole network is a reconstruction. See docs/systems/rdnn.md.
 *
 * Input [N, inChannels, H, W], any H and W of at least 2^(blocks - 1); returns logits [N, classes].
 */
export class RDNN extends Module {
  readonly open: Sequential;
  readonly blocks: Sequential[];
  readonly head: Linear;
  /** How it was made; stored beside saved weights. */
  readonly options: RDNNOptions;

  constructor(options?: RDNNOptions) {
    super();
    this.options = options ?? {};
    const { inChannels, classes, channels, layersPerBlock, ...layer } = withDefaults<
      Required<RDNNOptions>
    >('RDNN', options, {
      inChannels: 1,
      classes: 10,
      channels: [16, 32],
      layersPerBlock: 2,
      ...LAYER_DEFAULTS,
    });
    requireArgument(channels.length > 0, 'RDNN', 'channels must name at least one block');
    const layerCounts =
      typeof layersPerBlock === 'number' ? channels.map(() => layersPerBlock) : layersPerBlock;
    requireArgument(
      layerCounts.length === channels.length,
      'RDNN',
      () =>
        `layersPerBlock must have one number for each of ${channels.length} blocks, got ${show(layersPerBlock)}`,
    );
    const widen = (from: number, to: number): Layer[] => [
      new Conv2d(from, to, 3, { padding: 1, bias: false }),
      new BatchNorm2d(to),
      new Activation(layer.activation),
    ];
    // Without an activation: noise reaches the first diffusion before anything rectifies it.
    this.open = new Sequential(...widen(inChannels, channels[0]!).slice(0, 2));
    this.blocks = channels.map((width, i) => {
      const layers: Layer[] = i > 0 ? [new MaxPool2d(2), ...widen(channels[i - 1]!, width)] : [];
      for (let k = 0; k < layerCounts[i]!; k++) layers.push(new RDLayer(width, layer));
      return new Sequential(...layers);
    });
    this.head = new Linear(channels[channels.length - 1]!, classes);
  }

  /** The field after the opening layer and after each layer of the blocks, for looking at. */
  features(x: Tensor): Tensor[] {
    const fields = [this.open.forward(x)];
    for (const block of this.blocks) {
      for (const layer of block.layers) fields.push(layer.forward(fields[fields.length - 1]!));
    }
    return fields;
  }

  /** The diffusion layers in order, with their names. */
  diffusions(): [string, Diffusion2d][] {
    return this.blocks.flatMap((block, i) =>
      block.layers.flatMap((layer, j): [string, Diffusion2d][] =>
        layer instanceof RDLayer && layer.diffusion ? [[`blocks.${i}.${j}`, layer.diffusion]] : [],
      ),
    );
  }

  forward(x: Tensor): Tensor {
    const u = this.blocks.reduce((value, block) => block.forward(value), this.open.forward(x));
    return this.head.forward(mean(u, { dim: [2, 3] }));
  }
}
