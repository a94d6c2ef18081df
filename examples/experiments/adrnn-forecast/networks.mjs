// The three networks of each data set, of equal parameters within 3 percent, and the variants of ADRNN that show what
// its advection is worth.

import { models, nn } from '../../../dist/index.mjs';

const convolution = '3x3';

/** What the layers of ADRNN 'split' have in common in both data sets. */
const layer = {
  ...{ channels: 24, layers: 3, normalize: true, kernelSize: 3, velocityScale: 4 },
  ...{ advectionBoundary: 'border', diffusionOptions: { initial: [0.003, 0.1] } },
};
const baselines = {
  resnet: { channels: 33, blocks: 3, convolution },
  unet: { channels: [16, 24, 32], convolution },
};

const SIZES = {
  mnist: {
    adrnn: { ...layer, velocities: 12, velocityChannels: 30, transport: 'mass' },
    ...baselines,
  },
  digits: {
    adrnn: { ...layer, velocities: 8, velocityChannels: 38, transport: 'mass' },
    ...baselines,
  },
  water: {
    adrnn: { ...layer, velocities: 8, velocityChannels: 38, initialSpeed: 2, transport: 'color' },
    ...baselines,
  },
};

const CHANNELS = { mnist: [10, 10], digits: [10, 1], water: [3, 3] };
const CLASSES = { adrnn: models.ADRNN, resnet: models.MFCNet, unet: models.MFCUNet };

export const NETWORKS = Object.keys(CLASSES);
export const TITLES = { adrnn: 'ADRNN', resnet: 'ResNet', unet: 'U-Net' };

/**
 * 'base' is what is compared; in 'still' the velocities of ADRNN stay 0; 'whole' forecasts the state in the place of its
 * increment; the others change the transport.
 */
const CHANGES = {
  base: {},
  still: {},
  whole: {},
  color: { transport: 'color' },
  mass: { transport: 'mass' },
  'one-velocity': { velocities: 1 },
};
export const VARIANTS = Object.keys(CHANGES);

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

/** Takes the velocities away: their last convolutions are 0, and nothing trains them. */
function still(network) {
  for (const { velocity } of network.layers) {
    nn.init.zeros(velocity.last);
    if (velocity.bias) nn.init.zeros(velocity.bias);
    for (const p of velocity.parameters()) p.requiresGrad = false;
  }
}

/** { model, network, settings }: the model forecasts, by increments in water; the network has the parameters. */
export function makeNetwork(set, name, variant = 'base', changes = {}) {
  const settings = { ...SIZES[set][name], ...CHANGES[variant], ...changes };
  const [inChannels, outChannels] = CHANNELS[set];
  const network = new CLASSES[name]({ inChannels, outChannels, ...settings });
  if (variant === 'still') still(network);
  const byIncrements = set === 'water' && variant !== 'whole';
  return { model: byIncrements ? new Increment(network) : network, network, settings };
}
