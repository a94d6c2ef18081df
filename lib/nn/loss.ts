import type { Tensor } from '../tensor/tensor';
import {
  type CrossEntropyOptions,
  type LossOptions,
  crossEntropy,
  mseLoss,
  nllLoss,
} from '../ops/linalg';
import { Module } from './module';

// Losses as modules, for code that keeps a criterion: forward(input, target). Options are those of the functions.

/** {@link crossEntropy} with its options. */
export class CrossEntropyLoss extends Module {
  constructor(readonly options?: CrossEntropyOptions) {
    super();
  }

  forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, this.options);
  }
}

/** {@link nllLoss} with its options. */
export class NLLLoss extends Module {
  constructor(readonly options?: LossOptions) {
    super();
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return nllLoss(x, target, this.options);
  }
}

/** {@link mseLoss} with its options. */
export class MSELoss extends Module {
  constructor(readonly options?: LossOptions) {
    super();
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return mseLoss(x, target, this.options);
  }
}
