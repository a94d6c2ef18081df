// The family's public face: dense linear maps, pooling, normalisation, losses.
export type { EpilogueActivation, EpilogueOptions } from './linalg-epilogue';
export { type LinearOptions, bmm, linear, matmul } from './linalg-matmul';
export type { Padding } from './linalg-convolution-core';
export {
  type Conv1dOptions,
  type Conv2dOptions,
  type Conv3dOptions,
  type ConvOptions,
  type Size1d,
  type Size2d,
  type Size3d,
  conv1d,
  conv2d,
  conv3d,
} from './linalg-convolution';
export * from './linalg-convolution-transpose';
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
export * from './linalg-einsum';
export * from './linalg-interpolate';
export * from './linalg-solve';
