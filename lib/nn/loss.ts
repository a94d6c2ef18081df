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

/** A loss with fixed options as a module, for code that is written that way; the function does the same. */
abstract class Loss<O> extends Module {
  protected abstract readonly loss: (input: Tensor, target: Tensor, options?: O) => Tensor;

  constructor(readonly options?: O) {
    super();
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return this.loss(input, target, this.options);
  }
}

/** {@link crossEntropy} with its options. */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  protected readonly loss = crossEntropy;
}

/** {@link nllLoss} with its options. */
export class NLLLoss extends Loss<NllLossOptions> {
  protected readonly loss = nllLoss;
}

/** {@link mseLoss} with its options. */
export class MSELoss extends Loss<LossOptions> {
  protected readonly loss = mseLoss;
}

/** {@link l1Loss} with its options. */
export class L1Loss extends Loss<LossOptions> {
  protected readonly loss = l1Loss;
}

/** {@link smoothL1Loss} with its options. */
export class SmoothL1Loss extends Loss<SmoothL1LossOptions> {
  protected readonly loss = smoothL1Loss;
}

/** {@link huberLoss} with its options. */
export class HuberLoss extends Loss<HuberLossOptions> {
  protected readonly loss = huberLoss;
}

/** {@link bceWithLogits} with its options. */
export class BCEWithLogitsLoss extends Loss<BceWithLogitsOptions> {
  protected readonly loss = bceWithLogits;
}
