export { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint';
export type { ColormapName, FieldOptions } from './field-image';
export { type ChartSpec, type Panel, saveFigure } from './figure';
export {
  type Callbacks,
  type CheckpointOptions,
  fit,
  type FitOptions,
  type StepRecord,
} from './fit';
export { describeEpoch, type EpochRecord, type History } from './history';
export {
  accuracy,
  type BatchFunction,
  evaluate,
  type EvaluateOptions,
  type Metrics,
  type Model,
} from './metrics';
export { saveCurves, saveFieldImages } from './plots';
export {
  type FullMultiscaleOptions,
  fullMultiscale,
  type LevelLoss,
  type MultiscaleOptions,
  type MultiscaleStep,
  multiscaleLoss,
  restrict,
  type Restriction,
  type Sampler,
  WorkUnits,
} from './multiscale';
