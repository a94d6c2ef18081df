// The family's public face: dense linear maps, pooling, normalisation, losses.
export type { EpilogueActivation, EpilogueOptions } from './linalg-epilogue';
export { type LinearOptions, bmm, linear, matmul } from './linalg-matmul';
export { type Conv2dOptions, type Size2d, conv2d } from './linalg-convolution';
export * from './linalg-pooling';
export {
  type BatchNormOptions,
  type FusedActivation,
  type LayerNormOptions,
  batchNorm,
  layerNorm,
} from './linalg-normalization';
export * from './linalg-group-norm';
export * from './linalg-cross-entropy';
export {
  type BceWithLogitsOptions,
  type HuberLossOptions,
  type LossOptions,
  type Reduction,
  type SmoothL1LossOptions,
  type WeightedLossOptions,
  bceWithLogits,
  huberLoss,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from './linalg-loss';
