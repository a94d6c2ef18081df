export {
  type BatchSource,
  DataLoader,
  type DataLoaderOptions,
  type DataLoaderState,
  type DataSource,
} from './data-loader';
export type { Dataset } from './batch-maker';
export type { HostArray, Sample } from './host-array';
export { loadIdx } from './idx';
export {
  describeHdf5,
  type Hdf5Content,
  type Hdf5Dataset,
  type Hdf5Range,
  loadHdf5,
  type LoadHdf5Options,
} from './hdf5';
export { loadImage, type LoadImageOptions, saveImage, type SaveImageOptions } from './image';
export {
  compose,
  gaussianNoise,
  normalize,
  randomCrop,
  type RandomCropOptions,
  randomHorizontalFlip,
  randomVerticalFlip,
  scaleImages,
  type TransformTarget,
} from './image-transforms';
export type { ModuleReference } from './module-reference';
export type {
  BatchPlace,
  Composed,
  PixelTransform,
  Transform,
  TransformFunction,
} from './transform';
export { movingMnist, type MovingMnistOptions } from './moving-mnist';
export { loadNpy, loadNpz, saveNpy, saveNpz } from './npy';
export { Random } from './random';
export { loadSafetensors, type Safetensors, saveSafetensors } from './safetensors';
export type { WideIntegerOptions } from './widen';
export { grayScott, type GrayScottOptions } from './gray-scott';
export { qTips, type QTipsOptions } from './q-tips';
export { shallowWater, type ShallowWaterOptions } from './shallow-water';
export {
  type ShallowWaterBoundary,
  ShallowWaterSolver,
  type ShallowWaterSolverOptions,
} from './shallow-water-solver';
