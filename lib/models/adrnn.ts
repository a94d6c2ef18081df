import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { Conv2d, type Layer, Module } from '../nn';
import { ADRLayer, type ADRLayerOptions } from './adr-layer';
import { OfficialADRNet, type OfficialADRNetOptions } from './adrnn-official';

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
