import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import {
  elu,
  gelu,
  leakyRelu,
  relu,
  sigmoid,
  silu,
  softplus,
  tanh,
} from '../ops/elementwise-activation';
import { Module } from './module';

/** Functions that layers apply by name. */
export const ACTIVATIONS = { relu, leakyRelu, elu, gelu, silu, softplus, tanh, sigmoid } as const;

export type ActivationName = keyof typeof ACTIVATIONS;

/** A pointwise function as a layer: `new nn.Activation('silu')`. */
export class Activation extends Module {
  readonly name: ActivationName;

  constructor(name: ActivationName) {
    super();
    requireArgument(
      name in ACTIVATIONS,
      'Activation',
      () => `name must be one of ${Object.keys(ACTIVATIONS).join(', ')}, got ${show(name)}`,
    );
    this.name = name;
  }

  forward(x: Tensor): Tensor {
    return ACTIVATIONS[this.name](x);
  }
}
