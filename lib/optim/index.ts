export { Adam, AdamW, type AdamOptions } from './adam';
export { clipGradNorm } from './clip';
export {
  Optimizer,
  type OptimizerState,
  type ParameterGroup,
  type Parameters,
  type ParameterState,
} from './optimizer';
export {
  CosineAnnealingLR,
  LinearWarmup,
  MultiStepLR,
  OneCycleLR,
  type OneCycleLROptions,
  Scheduler,
  type SchedulerState,
  StepLR,
} from './scheduler';
export { SGD, type SGDOptions } from './sgd';
