export {
  type BatchSource,
  DataLoader,
  type DataLoaderOptions,
  type DataLoaderState,
  type Dataset,
  type DataSource,
  type HostArray,
  type Sample,
  type Transform,
} from './data-loader';
export { loadIdx } from './idx';
export { loadImage, type LoadImageOptions, saveImage } from './image';
export { addNoise, scaleImages, shiftFlip, type ShiftFlipOptions } from './image-transforms';
export { loadNpy, loadNpz, saveNpy } from './npy';
export { Random } from './random';
export { loadSafetensors, type Safetensors, saveSafetensors } from './safetensors';
export { grayScott, type GrayScottOptions } from './gray-scott';
export { qTips, type QTipsOptions } from './q-tips';
export { shallowWater, type ShallowWaterOptions } from './shallow-water';
export {
  type ShallowWaterBoundary,
  ShallowWaterSolver,
  type ShallowWaterSolverOptions,
} from './shallow-water-solver';
