export { type AnimationOptions, saveAnimation } from './animation';
export { capture, type CapturedStep, type CaptureOptions } from './capture';
export { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint';
export type { ColormapName, FieldOptions } from './field-image';
export { type ChartSpec, type Panel, saveFigure } from './figure';
export type { Callbacks, StepRecord } from './callbacks';
export { fit } from './fit';
export type { CheckpointOptions, FitOptions } from './fit-options';
export { describeEpoch, type EpochRecord, type History } from './history';
export {
  type BatchFunction,
  evaluate,
  type EvaluateOptions,
  type Metrics,
  type Model,
} from './metrics';
export { saveCurves, saveFieldImages } from './plots';
export type { QueueRecord } from './queue-records';
export { rollout } from './rollout';
export { type Summary, summary, type SummaryRow } from './summary';
export { jsonLog, type JsonLogOptions, type LogLine } from './json-log';
export { tensorBoard, TensorBoardWriter, type TensorBoardOptions } from './tensor-board';
export {
  accuracy,
  confusionMatrix,
  meanIoU,
  meanIoUOf,
  topKAccuracy,
} from './classification-metrics';
export {
  meanAbsoluteError,
  meanSquaredError,
  psnr,
  type RangeOptions,
  relativeL2,
  relativeMisfit,
  ssim,
} from './field-metrics';
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
