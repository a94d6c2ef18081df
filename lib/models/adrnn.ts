import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { neg, mul } from '../ops/elementwise';
import { withDefaults } from '../ops/define';
import {
  ACTIVATIONS,
  type ActivationName,
  AdvectionDiffusionReaction2d,
  type AdvectionDiffusionReaction2dOptions,
  Conv2d,
  type Layer,
  Module,
  normalParameter,
} from '../nn';
import { OfficialADRNet, type OfficialADRNetOptions } from './adrnn-official';

/** Order of advection (a), diffusion (d) and reaction (r) within a step. */
export type ADROrder = 'adr' | 'ard' | 'dar' | 'dra' | 'rad' | 'rda';
const ORDERS: readonly ADROrder[] = ['adr', 'ard', 'dar', 'dra', 'rad', 'rda'];

interface Splitting {
  /** Default 'adr'. The published algorithm diffuses and reacts first ('dra'), its released code advects first. */
  order?: ADROrder;
  /**
   * 'lie' (default): one operator after the other. 'strang': half steps of the first two, the third whole, and
   * back: A/2 D/2 R D/2 A/2 for 'adr'.
   */
  splitting?: 'lie' | 'strang';
  /** 'color' (default) keeps values along the flow, 'mass' keeps sums. */
  transport?: 'color' | 'mass';
  /** Channels of the velocity network. Default: as many as the field has. */
  velocityChannels?: number;
}

export type ADRLayerOptions = AdvectionDiffusionReaction2dOptions & Splitting;

/**
 * The velocity of a field: w = K2 act(K1 u), both 3x3 with zero padding, in cells per unit time, one for all
 * channels. K2 starts at 1e-4 N(0, 1), so that motion starts near zero.
 */
export class VelocityNet extends Module {
  readonly first: Conv2d;
  readonly last: Tensor;

  constructor(
    channels: number,
    hidden: number,
    private readonly activation: ActivationName,
  ) {
    super();
    this.first = new Conv2d(channels, hidden, 3, { padding: 1 });
    this.last = normalParameter([2, hidden, 3, 3], 1e-4);
  }

  /** [N, C, H, W] to [N, 2, H, W], component 0 along x. */
  forward(u: Tensor): Tensor {
    const hidden = ACTIVATIONS[this.activation](this.first.forward(u));
    return hidden.conv2d(this.last, { padding: 1 });
  }
}

/**
 * One layer of an advection-diffusion-reaction network: a step of u_t + w . grad u = k_c Lap u + R(u) (or, for
 * mass transport, u_t + div(w u) = ...) by operator splitting, with a velocity w(u) of its own.
 *
 *     A   u(x - dt w) ('color'), or the content of each cell put at x + dt w ('mass')
 *     D   (I - dt k_c D)^-1 u
 *     R   u + dt (W2 act(W1 u + b1) + b2)
 *
 * The velocity is that of the field just before its first transport. The layout follows the authors' later
 * network with true splitting; the implicit diffusion is ours: a reconstruction. See docs/systems/adrnn.md.
 */
export class ADRLayer extends Module {
  readonly velocity: VelocityNet;
  readonly step: AdvectionDiffusionReaction2d;
  private readonly dt: number;
  private readonly order: ADROrder;
  private readonly strang: boolean;
  private readonly transport: 'color' | 'mass';

  constructor(channels: number, options?: ADRLayerOptions) {
    super();
    const { order, splitting, transport, velocityChannels, ...step } = options ?? {};
    const o = withDefaults<Required<Splitting>>(
      'ADRLayer',
      { order, splitting, transport, velocityChannels },
      { order: 'adr', splitting: 'lie', transport: 'color', velocityChannels: channels },
    );
    const requireOneOf = (name: string, value: unknown, values: readonly unknown[]) =>
      requireArgument(
        values.includes(value),
        'ADRLayer',
        () => `${name} must be one of ${values.join(', ')}, got ${show(value)}`,
      );
    requireOneOf('order', o.order, ORDERS);
    requireOneOf('splitting', o.splitting, ['lie', 'strang']);
    requireOneOf('transport', o.transport, ['color', 'mass']);
    this.order = o.order;
    this.strang = o.splitting === 'strang';
    this.transport = o.transport;
    this.dt = step.dt ?? 1;
    this.step = new AdvectionDiffusionReaction2d(channels, step);
    this.velocity = new VelocityNet(channels, o.velocityChannels, step.activation ?? 'silu');
  }

  /** The displacement of a whole step in cells, in the direction that the transport wants. */
  displacement(u: Tensor): Tensor {
    const w = this.velocity.forward(u);
    if (this.transport === 'mass') return this.dt === 1 ? w : mul(w, this.dt);
    return this.dt === 1 ? neg(w) : mul(w, -this.dt);
  }

  forward(u: Tensor): Tensor {
    if (this.order === 'adr' && !this.strang && this.transport === 'color') {
      return this.step.forward(u, this.displacement(u));
    }
    let displacement: Tensor | undefined;
    const apply = (operator: string, field: Tensor, fraction: number): Tensor => {
      if (operator === 'd') return this.step.diffuse(field, fraction);
      if (operator === 'r') return this.step.react(field, fraction);
      displacement ??= this.displacement(field);
      const d = fraction === 1 ? displacement : mul(displacement, fraction);
      return this.step.advect(field, d, this.transport);
    };
    const [first, second, third] = [...this.order] as [string, string, string];
    const stages: [string, number][] = this.strang
      ? [
          [first, 0.5],
          [second, 0.5],
          [third, 1],
          [second, 0.5],
          [first, 0.5],
        ]
      : [
          [first, 1],
          [second, 1],
          [third, 1],
        ];
    return stages.reduce((field, [operator, part]) => apply(operator, field, part), u);
  }
}

interface Sizes {
  /** Channels of the input: fields, or frames times fields. */
  inChannels: number;
  /** Channels of the output. Default: as many as the input has. */
  outChannels?: number;
  /** Channels of the embedded field. Default 64; 256 in 'official'. */
  channels?: number;
  /** Default 4; 9 in 'official'. */
  layers?: number;
}

export type ADRNNOptions =
  | ({ mode?: 'split' } & Sizes & ADRLayerOptions)
  | ({ mode: 'official' } & Sizes & OfficialADRNetOptions);

const SPLIT_DEFAULTS = { channels: 64, layers: 4 };

/**
 * Advection-diffusion-reaction network: embeds the input fields (conv 3x3), moves, diffuses and reacts in
 * `layers` steps, and reads the output fields off (conv 1x1).
 *
 * - `mode` 'split' (default): true operator splitting, {@link ADRLayer} by layer. Any H and W.
 * - `mode` 'official': the released network to the letter, {@link OfficialADRNet}; needs `size`.
 *
 * Input [N, inChannels, H, W], output [N, outChannels, H, W].
 *
 * Source: Zakariaei, Rout, Haber, Eliasof, Advection augmented convolutional neural networks, NeurIPS 2024
 * (arXiv 2406.19253). 'split' is a reconstruction; docs/systems/adrnn.md says what is whose.
 */
export class ADRNN extends Module {
  readonly open: Conv2d | null = null;
  readonly layers: ADRLayer[] = [];
  readonly close: Conv2d | null = null;
  readonly official: OfficialADRNet | null = null;
  /** How it was made; stored beside saved weights. */
  readonly options: ADRNNOptions;

  constructor(options: ADRNNOptions) {
    super();
    const { mode = 'split', inChannels, outChannels = inChannels, ...rest } = options;
    this.options = options;
    requireArgument(
      mode === 'split' || mode === 'official',
      'ADRNN',
      () => `mode must be 'split' or 'official', got ${show(mode)}`,
    );
    if (mode === 'official') {
      const settings = rest as Omit<Sizes, 'inChannels'> & OfficialADRNetOptions;
      this.official = new OfficialADRNet(inChannels, outChannels, settings);
      return;
    }
    const { channels = SPLIT_DEFAULTS.channels, layers = SPLIT_DEFAULTS.layers, ...layer } = rest;
    requireArgument(
      Number.isInteger(layers) && layers >= 0,
      'ADRNN',
      () => `layers must be an integer >= 0, got ${show(layers)}`,
    );
    this.open = new Conv2d(inChannels, channels, 3, { padding: 1 });
    for (let i = 0; i < layers; i++) {
      this.layers.push(new ADRLayer(channels, layer as ADRLayerOptions));
    }
    this.close = new Conv2d(channels, outChannels, 1);
  }

  forward(x: Tensor): Tensor {
    if (this.official) return this.official.forward(x);
    const stages: Layer[] = [this.open!, ...this.layers, this.close!];
    return stages.reduce((field, stage) => stage.forward(field), x);
  }
}
