import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import {
  type EluOptions,
  type GeluOptions,
  type LeakyReluOptions,
  type SoftplusOptions,
  elu,
  gelu,
  leakyRelu,
  relu,
  sigmoid,
  silu,
  softplus,
  tanh,
} from '../ops/elementwise-activation';
import { logSoftmax, softmax } from '../ops/reduce';
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
      typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name),
      'Activation',
      () => `name must be one of ${Object.keys(ACTIVATIONS).join(', ')}, got ${show(name)}`,
    );
    this.name = name;
  }

  forward(x: Tensor): Tensor {
    return ACTIVATIONS[this.name](x);
  }
}

// The same under PyTorch's names.

/** max(x, 0). */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** x for x > 0, else negativeSlope x. */
export class LeakyReLU extends Module {
  private readonly settings: Required<LeakyReluOptions>;

  constructor(options?: LeakyReluOptions) {
    super();
    this.settings = withDefaults('LeakyReLU', options, { negativeSlope: 0.01 });
  }

  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.settings);
  }
}

/** x for x > 0, else alpha (e^x - 1). */
export class ELU extends Module {
  private readonly settings: Required<EluOptions>;

  constructor(options?: EluOptions) {
    super();
    this.settings = withDefaults('ELU', options, { alpha: 1 });
  }

  forward(x: Tensor): Tensor {
    return elu(x, this.settings);
  }
}

/** x Phi(x), Phi the normal distribution function, or its approximation by tanh. */
export class GELU extends Module {
  private readonly settings: Required<GeluOptions>;

  constructor(options?: GeluOptions) {
    super();
    this.settings = withDefaults<Required<GeluOptions>>('GELU', options, { approximate: 'none' });
  }

  forward(x: Tensor): Tensor {
    return gelu(x, this.settings);
  }
}

/** x sigmoid(x). */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/** log(1 + e^(beta x)) / beta. */
export class Softplus extends Module {
  private readonly settings: Required<SoftplusOptions>;

  constructor(options?: SoftplusOptions) {
    super();
    this.settings = withDefaults('Softplus', options, {
      beta: 1,
      threshold: Infinity,
    });
  }

  forward(x: Tensor): Tensor {
    return softplus(x, this.settings);
  }
}

/** Hyperbolic tangent. */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** 1 / (1 + e^-x). */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** Softmax along a dimension. */
export class Softmax extends Module {
  constructor(readonly dim: number) {
    super();
  }

  forward(x: Tensor): Tensor {
    return softmax(x, this.dim);
  }
}

/** Logarithm of softmax along a dimension. */
export class LogSoftmax extends Module {
  constructor(readonly dim: number) {
    super();
  }

  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.dim);
  }
}

/** The name of a layer that is an activation with default parameters, for layers that apply one in their own pass. */
export function activationOf(layer: Module): ActivationName | null {
  if (layer instanceof Activation) return layer.name;
  if (layer instanceof ReLU) return 'relu';
  if (layer instanceof GELU) return 'gelu';
  if (layer instanceof SiLU) return 'silu';
  if (layer instanceof Softplus) return 'softplus';
  if (layer instanceof Tanh) return 'tanh';
  return layer instanceof Sigmoid ? 'sigmoid' : null;
}
