export { type LoadStateOptions, Module, parameter, type StateDict } from './module';
export * as init from './init';
export { Linear } from './linear';
export {
  Conv1d,
  type Conv1dOptions,
  Conv2d,
  type Conv2dOptions,
  Conv3d,
  type Conv3dOptions,
  type PaddingMode,
} from './convolution';
export {
  ConvTranspose1d,
  ConvTranspose2d,
  ConvTranspose3d,
  type ConvTransposeOptions,
} from './transposed-convolution';
export { Upsample } from './upsample';
export { normalParameter } from './initialization';
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type BatchNormOptions,
  LayerNorm,
  type LayerNormOptions,
} from './normalization';
export {
  ACTIVATIONS,
  Activation,
  type ActivationName,
  ELU,
  GELU,
  LeakyReLU,
  LogSoftmax,
  ReLU,
  SiLU,
  Sigmoid,
  Softmax,
  Softplus,
  Tanh,
} from './activation';
export {
  Dropout,
  type DropoutOptions,
  Flatten,
  type FlattenOptions,
  Identity,
  type Layer,
  ModuleList,
  Sequential,
} from './container';
export {
  GroupNorm,
  type GroupNormOptions,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
} from './sample-normalization';
export { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from './pooling';
export { Embedding, type EmbeddingOptions } from './embedding';
export {
  BCEWithLogitsLoss,
  CrossEntropyLoss,
  HuberLoss,
  L1Loss,
  MSELoss,
  NLLLoss,
  SmoothL1Loss,
} from './loss';
export { Diffusion2d, type Diffusion2dOptions, type DiffusionSolver } from './diffusion';
export { Reaction, type ReactionOptions } from './reaction';
export {
  AdvectionDiffusionReaction2d,
  type AdvectionDiffusionReaction2dOptions,
} from './advection-diffusion-reaction';
export { Advection2d, type Advection2dOptions } from './advection';
export { MeshFreeConv2d, type MeshFreeConv2dOptions } from './mesh-free';
