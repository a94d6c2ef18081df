export { Module, parameter, type StateDict } from './module';
export { Linear } from './linear';
export { Conv2d, type Conv2dOptions } from './convolution';
export { BatchNorm2d, type BatchNormOptions, LayerNorm } from './normalization';
export { ACTIVATIONS, Activation, type ActivationName } from './activation';
export { normalParameter } from './initialization';
export {
  AdaptiveAvgPool2d,
  AvgPool2d,
  Dropout,
  Flatten,
  type Layer,
  MaxPool2d,
  Sequential,
} from './container';
export { Diffusion2d, type Diffusion2dOptions } from './diffusion';
export { Reaction, type ReactionOptions } from './reaction';
export {
  AdvectionDiffusionReaction2d,
  type AdvectionDiffusionReaction2dOptions,
} from './advection-diffusion-reaction';
