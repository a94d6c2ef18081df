export { Adam, AdamW, type AdamOptions } from './adam';
export { clipGradNorm, type ClipGradNormOptions } from './clip';
export { type Closure, LBFGS, type LBFGSOptions } from './lbfgs';
export {
  Optimizer,
  type OptimizerState,
  type ParameterGroup,
  type Parameters,
  type ParameterState,
} from './optimizer';
export {
  clampProjection,
  courantBall,
  type CourantBallOptions,
  nonNegative,
  normBall,
  type NormBallOptions,
  type Projection,
} from './projection';
export {
  CosineAnnealingLR,
  ExponentialLR,
  LinearWarmup,
  MultiStepLR,
  OneCycleLR,
  type OneCycleLROptions,
  Scheduler,
  type SchedulerState,
  StepLR,
} from './scheduler';
export {
  type PlateauState,
  ReduceLROnPlateau,
  type ReduceLROnPlateauOptions,
} from './scheduler-plateau';
export { SequentialLR } from './scheduler-sequential';
export { SGD, type SGDOptions } from './sgd';
