// The network that RDNN is compared with: the same layout with plain residual blocks.

import { nn } from '../../dist/index.mjs';

const convolution = (from, to) => new nn.Conv2d(from, to, 3, { padding: 1, bias: false });
const widen = (from, to) => [convolution(from, to), new nn.BatchNorm2d(to), new nn.ReLU()];

/** relu(u + BN(K2 relu(BN(K1 u)))) with 3x3 convolutions: He, Zhang, Ren, Sun (CVPR 2016). */
export class ResidualBlock extends nn.Module {
  constructor(channels) {
    super();
    this.branch = new nn.Sequential(
      ...widen(channels, channels),
      convolution(channels, channels),
      new nn.BatchNorm2d(channels),
    );
  }

  forward(u) {
    return u.add(this.branch.forward(u)).relu();
  }
}

/** Open, stages of residual blocks with pooling by 2 between them, mean over the plane, linear classifier. */
export class ResidualNetwork extends nn.Module {
  constructor({ channels, blocks, classes = 10 }) {
    super();
    this.layers = new nn.Sequential(
      ...channels.flatMap((width, i) => [
        ...(i === 0 ? widen(1, width) : [new nn.MaxPool2d(2), ...widen(channels[i - 1], width)]),
        ...Array.from({ length: blocks[i] }, () => new ResidualBlock(width)),
      ]),
    );
    this.head = new nn.Linear(channels.at(-1), classes);
  }

  forward(x) {
    return this.head.forward(this.layers.forward(x).mean({ dim: [2, 3] }));
  }
}
