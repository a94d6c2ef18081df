import type { Tensor } from '../tensor/tensor';
import {
  type BceWithLogitsOptions,
  type CrossEntropyOptions,
  type HuberLossOptions,
  type LossOptions,
  type NllLossOptions,
  type SmoothL1LossOptions,
  bceWithLogits,
  crossEntropy,
  huberLoss,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
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
  constructor(readonly options?: NllLossOptions) {
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

/** {@link l1Loss} with its options. */
export class L1Loss extends Module {
  constructor(readonly options?: LossOptions) {
    super();
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return l1Loss(x, target, this.options);
  }
}

/** {@link smoothL1Loss} with its options. */
export class SmoothL1Loss extends Module {
  constructor(readonly options?: SmoothL1LossOptions) {
    super();
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(x, target, this.options);
  }
}

/** {@link huberLoss} with its options. */
export class HuberLoss extends Module {
  constructor(readonly options?: HuberLossOptions) {
    super();
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return huberLoss(x, target, this.options);
  }
}

/** {@link bceWithLogits} with its options. */
export class BCEWithLogitsLoss extends Module {
  constructor(readonly options?: BceWithLogitsOptions) {
    super();
  }

  forward(x: Tensor, target: Tensor): Tensor {
    return bceWithLogits(x, target, this.options);
  }
}
