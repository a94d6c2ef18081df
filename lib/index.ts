export * from './ops';
export { FluxionError, type ErrorCode } from './errors';
export type { DeviceInfo } from './native';
export type { DType, TypedArray } from './tensor/dtype';
export {
  type GeneratorState,
  generatorState,
  manualSeed,
  setGeneratorState,
} from './tensor/generator';
export { type Config, config, devices, setNumThreads, version } from './tensor/runtime';
export { type MemoryReport, type NestedArray, Tensor, isTensor, memory } from './tensor/tensor';
export {
  type BackwardOptions,
  type CustomGradContext,
  backward,
  checkpoint,
  customGrad,
  grad,
  valueAndGrad,
  vjp,
} from './autograd/gradients';
export { keep, noGrad, tidy } from './autograd/tidy';
export { capture, type CapturedStep, type CaptureOptions } from './train/capture';
export { type Profile, profile, type ProfileOptions, type ProfileRow } from './train/profile';
export * as data from './data';
export * as models from './models';
export * as nn from './nn';
export * as optim from './optim';
export * as train from './train';
