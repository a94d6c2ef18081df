import { requireOption } from '../errors';
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

/** The order in which the parts of a layer follow each other. */
export type RDOrder = 'reaction-first' | 'diffusion-first' | 'strang';
/** Share of the diffusion that goes before the reaction; the rest goes after it. */
const BEFORE: Record<RDOrder, number> = { 'reaction-first': 0, 'diffusion-first': 1, strang: 0.5 };
const ORDERS = Object.keys(BEFORE);

export interface RDLayerOptions {
  /** Step of the reaction and of the diffusion, > 0. Default 1. */
  dt?: number;
  /**
   * 'reaction-first': w = S(u + dt R(u)) with S the diffusion over dt, as IMEXnet. 'diffusion-first': the commuted order.
   * 'strang': half a step of diffusion on each side of the reaction. Default 'reaction-first'.
   */
  order?: RDOrder;
  /** false leaves the diffusion out: a plain residual layer, to compare with. Default true. */
  diffusion?: boolean;
  /** Cell size, boundary, solver, scheme, initial diffusivities of the diffusion. */
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
 * One layer of RDNN: explicit reaction, implicit diffusion S(dt), by splitting of u_t = k Lap u + R(u).
 *
 *     reaction-first     w = S(dt) (u + dt R(u))
 *     diffusion-first    v = S(dt) u,       w = v + dt R(v)
 *     strang             v = S(dt/2) u,     w = S(dt/2) (v + dt R(v))
 *
 * S(dt) = (I - dt k_c D)^-1 on each channel ({@link Diffusion2d}). It never amplifies, forward or backward, for any dt
 * and k. All are of first order in time, since the reaction is an Euler step; 'strang' is symmetric.
 */
export class RDLayer extends Module {
  readonly reaction: Reaction;
  readonly diffusion: Diffusion2d | null;
  private readonly dt: number;
  private readonly order: RDOrder;

  constructor(channels: number, options?: RDLayerOptions) {
    super();
    const o = withDefaults('RDLayer', options, LAYER_DEFAULTS);
    requireOption(
      'RDLayer',
      'order',
      `be one of ${ORDERS.join(', ')}`,
      o.order,
      ORDERS.includes(o.order),
    );
    requireOption(
      'RDLayer',
      'dt',
      'be a finite number > 0',
      o.dt,
      Number.isFinite(o.dt) && o.dt > 0,
    );
    this.dt = o.dt;
    this.order = o.order;
    this.reaction = new Reaction(channels, { kernelSize: o.kernelSize, activation: o.activation });
    this.diffusion = o.diffusion
      ? new Diffusion2d(channels, { ...o.diffusionOptions, dt: o.dt })
      : null;
  }

  private diffuse(u: Tensor, fraction: number): Tensor {
    return this.diffusion && fraction > 0 ? this.diffusion.forward(u, fraction) : u;
  }

  forward(u: Tensor): Tensor {
    const before = BEFORE[this.order];
    return this.diffuse(this.reaction.step(this.diffuse(u, before), this.dt), 1 - before);
  }
}

/** What the network tells: one class for an image, or one for each pixel. */
export type RDNNHead = 'classification' | 'segmentation';
const HEADS: readonly RDNNHead[] = ['classification', 'segmentation'];

export interface RDNNOptions extends RDLayerOptions {
  /** Channels of the images. Default 1. */
  inChannels?: number;
  /** Number of classes. Default 10. */
  classes?: number;
  /** Channels of each block. Default [16, 32]. */
  channels?: readonly number[];
  /** RD layers in each block, one number for all or one for each. Default 2. */
  layersPerBlock?: number | readonly number[];
  /** Default 'classification'. */
  head?: RDNNHead;
}

const DEFAULTS: Required<RDNNOptions> = {
  inChannels: 1,
  classes: 10,
  channels: [16, 32],
  layersPerBlock: 2,
  head: 'classification',
  ...LAYER_DEFAULTS,
};

/** What the diffusion of one layer has learned. */
export interface DiffusionReading {
  /** Name of the layer. */
  name: string;
  /** [C] or, per axis, [C, 2] (along x, along y), in dx^2 / time; dx is the width of a cell of this layer. */
  diffusivity: Float64Array;
  /** For each of these, how far one step blurs: sqrt(2 k dt) / dx cells, in pixels of the network's input. */
  blurWidth: Float64Array;
}

/**
 * Reaction-diffusion network for images.
 *
 *     classification    open (conv 3x3, norm) -> blocks of RD layers; between them max-pool by 2 and widen
 *                       (conv 3x3, norm, activation) -> mean over the plane -> linear
 *     segmentation      the same without pooling, at full resolution throughout -> conv 1x1
 *
 * The layer follows the published idea (implicit diffusion and explicit reaction in each layer); the
 * layout of the whole network is a reconstruction. See docs/systems/rdnn.md.
 *
 * Input [N, inChannels, H, W]; for classification H and W of at least 2^(blocks - 1) and logits [N, classes], for
 * segmentation any H and W and logits [N, classes, H, W].
 */
export class RDNN extends Module {
  readonly open: Sequential;
  readonly blocks: Sequential[];
  /** Linear for classification, a 1x1 convolution for segmentation. */
  readonly head: Linear | Conv2d;
  /** How it was made; stored beside saved weights. */
  readonly options: RDNNOptions;

  constructor(options?: RDNNOptions) {
    super();
    this.options = options ?? {};
    const { inChannels, classes, channels, layersPerBlock, head, ...layer } = withDefaults<
      Required<RDNNOptions>
    >('RDNN', options, DEFAULTS, ['layersPerBlock']);
    const named = Array.isArray(channels) && channels.length > 0;
    requireOption('RDNN', 'channels', 'name at least one block', channels, named);
    requireOption('RDNN', 'head', `be one of ${HEADS.join(', ')}`, head, HEADS.includes(head));
    const layerCounts =
      typeof layersPerBlock === 'number' ? channels.map(() => layersPerBlock) : layersPerBlock;
    requireOption(
      'RDNN',
      'layersPerBlock',
      `have one number for each of ${channels.length} blocks`,
      layersPerBlock,
      Array.isArray(layerCounts) && layerCounts.length === channels.length,
    );
    const widen = (from: number, to: number): Layer[] => [
      new Conv2d(from, to, 3, { padding: 1, bias: false }),
      new BatchNorm2d(to),
      new Activation(layer.activation),
    ];
    const pool = () => (head === 'classification' ? [new MaxPool2d(2)] : []);
    // Without an activation: noise reaches the first diffusion before anything rectifies it.
    this.open = new Sequential(...widen(inChannels, channels[0]!).slice(0, 2));
    this.blocks = channels.map((width, i) => {
      const layers: Layer[] = i > 0 ? [...pool(), ...widen(channels[i - 1]!, width)] : [];
      for (let k = 0; k < layerCounts[i]!; k++) layers.push(new RDLayer(width, layer));
      return new Sequential(...layers);
    });
    const last = channels[channels.length - 1]!;
    this.head =
      head === 'classification' ? new Linear(last, classes) : new Conv2d(last, classes, 1);
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

  /** What the diffusion layers have learned, in order. A pixel of the input is a cell of the first block. */
  async readDiffusions(): Promise<DiffusionReading[]> {
    const readings: DiffusionReading[] = [];
    for (const [name, diffusion] of this.diffusions()) {
      const pooled = this.head instanceof Linear ? Number(name.split('.')[1]) : 0;
      const widths = await diffusion.readBlurWidth();
      readings.push({
        name,
        diffusivity: await diffusion.readDiffusivity(),
        blurWidth: widths.map((width) => width * 2 ** pooled),
      });
    }
    return readings;
  }

  forward(x: Tensor): Tensor {
    const u = this.blocks.reduce((value, block) => block.forward(value), this.open.forward(x));
    return this.head.forward(this.head instanceof Linear ? mean(u, { dim: [2, 3] }) : u);
  }
}
