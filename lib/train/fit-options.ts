import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { BatchSource } from '../data';
import { type Optimizer, ReduceLROnPlateau, type Scheduler } from '../optim';
import type { Callbacks } from './callbacks';
import type { BatchFunction, Metrics } from './metrics';
import type { ProgressOptions } from './progress';

export interface CheckpointOptions {
  /** A folder for the checkpoint alone. */
  path: string;
  /** How often, besides at the end. Default { epochs: 1 }. */
  every?: { steps: number } | { epochs: number };
  /** Continues from the checkpoint that is there. Default true; false begins anew and replaces it. */
  resume?: boolean;
}

export interface FitOptions extends ProgressOptions {
  /** The mean loss of a batch from the model's output and the target, as crossEntropy. */
  loss: BatchFunction;
  optimizer: Optimizer;
  /** Number of passes over the data, what is resumed included. */
  epochs: number;
  scheduler?: Scheduler | ReduceLROnPlateau;
  /** When the scheduler moves on. Default 'step'; ReduceLROnPlateau moves on after epochs. */
  schedulerInterval?: 'step' | 'epoch';
  /**
   * What ReduceLROnPlateau watches: 'loss' (default) or the name of a metric, of the validation where there is one,
   * else of the training.
   */
  schedulerMetric?: string;
  /** Computed beside the loss. */
  metrics?: Metrics;
  /** Data to evaluate on after each epoch. */
  validation?: BatchSource;
  /** Largest norm of the gradients; see clipGradNorm. */
  maxGradNorm?: number;
  /** What else happens: logs, curves; several are called in order. */
  callbacks?: Callbacks | readonly Callbacks[];
  /**
   * Records the step into a graph of the GPU and replays it; see {@link capture}. The model must be on a GPU.
   * Default false.
   */
  capture?: boolean;
  /** Ends the run after the current step. */
  signal?: AbortSignal;
  checkpoint?: CheckpointOptions;
}

/** Every option, so that a misspelt one is an error. */
const KNOWN: Record<keyof FitOptions, undefined> = {
  ...{ loss: undefined, optimizer: undefined, epochs: undefined, scheduler: undefined },
  ...{
    schedulerInterval: undefined,
    schedulerMetric: undefined,
    metrics: undefined,
    validation: undefined,
  },
  ...{ maxGradNorm: undefined, callbacks: undefined, signal: undefined, checkpoint: undefined },
  ...{ progress: undefined, verbose: undefined, capture: undefined },
};

/** Errors: FLUXION_INVALID_ARGUMENT for what `fit` cannot do, unknown options included. */
export function checkOptions(options: FitOptions): void {
  requireArgument(
    typeof options?.loss === 'function' && typeof options.optimizer?.step === 'function',
    'fit',
    'options must have a loss function and an optimizer',
  );
  requireArgument(
    Number.isInteger(options.epochs) && options.epochs >= 0,
    'fit',
    () => `epochs must be an integer >= 0, got ${show(options.epochs)}`,
  );
  withDefaults<object>('fit', options, KNOWN);
  checkScheduler(options);
  const every = Object.values(options.checkpoint?.every ?? { epochs: 1 });
  requireArgument(
    every.length === 1 && Number.isInteger(every[0]) && every[0]! > 0,
    'fit',
    () =>
      `checkpoint.every must be { steps } or { epochs } with an integer > 0, got ${show(every)}`,
  );
}

function checkScheduler({ scheduler, schedulerInterval, schedulerMetric, metrics }: FitOptions) {
  const plateau = scheduler instanceof ReduceLROnPlateau;
  requireArgument(
    schedulerInterval === undefined || schedulerInterval === 'epoch' || !plateau,
    'fit',
    () => `schedulerInterval must be 'epoch' for ReduceLROnPlateau, got ${show(schedulerInterval)}`,
  );
  if (schedulerMetric === undefined) return;
  requireArgument(plateau, 'fit', 'schedulerMetric must stand beside a ReduceLROnPlateau');
  const names = ['loss', ...Object.keys(metrics ?? {})];
  requireArgument(
    names.includes(schedulerMetric),
    'fit',
    () => `schedulerMetric must be one of ${names.join(', ')}, got ${show(schedulerMetric)}`,
  );
}
