// The three networks of each data set, of equal parameters within 3 percent.

import { models, nn } from '../../../dist/index.mjs';

const convolution = '3x3';

/** What the layers of ADRNN 'split' have in common in both data sets. */
const layer = {
  ...{ normalize: true, kernelSize: 3, velocities: 8, velocityScale: 4 },
  ...{ advectionBoundary: 'border', diffusionOptions: { initial: [0.003, 0.1] } },
};

const SIZES = {
  mnist: {
    adrnn: { channels: 40, layers: 4, transport: 'mass', ...layer },
    resnet: { channels: 40, blocks: 5, convolution },
    unet: { channels: [24, 32, 48], groups: 8, convolution },
  },
  water: {
    adrnn: { channels: 32, layers: 3, ...layer },
    resnet: { channels: 32, blocks: 3, convolution },
    unet: { channels: [24, 32, 48], groups: 8, convolution },
  },
};
const CHANNELS = { mnist: [10, 10], water: [3, 3] };
const CLASSES = { adrnn: models.ADRNN, resnet: models.MFCNet, unet: models.MFCUNet };

/** What is compared; others are trials that ask for a reason. */
export const VARIANTS = ['base'];

export const NETWORKS = Object.keys(CLASSES);
export const TITLES = { adrnn: 'ADRNN', resnet: 'ResNet', unet: 'U-Net' };

/** A network of increments: x + f(x), what a step of time is. */
class Increment extends nn.Module {
  constructor(change) {
    super();
    this.change = change;
  }

  forward(x) {
    return x.add(this.change.forward(x));
  }
}

/** { model, settings }; `changes` to the settings are for trials. */
export function makeNetwork(set, name, variant = 'base', changes = {}) {
  const settings = { ...SIZES[set][name], ...changes };
  const [inChannels, outChannels] = CHANNELS[set];
  const network = new CLASSES[name]({ inChannels, outChannels, ...settings });
  return { model: set === 'water' ? new Increment(network) : network, network, settings };
}
