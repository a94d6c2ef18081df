import { requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { Optimizer } from './optimizer';
import { requireFinite } from './scheduler';

export interface ReduceLROnPlateauOptions {
  /** Whether the metric should fall or rise. Default 'min'. */
  mode?: 'min' | 'max';
  /** The learning rates are multiplied by it. Default 0.1. */
  factor?: number;
  /** How many steps without improvement are tolerated. Default 10. */
  patience?: number;
  /** How much better than the best a metric must be. Default 1e-4. */
  threshold?: number;
  /** The threshold as a share of the best metric, or as a difference from it. Default 'rel'. */
  thresholdMode?: 'rel' | 'abs';
  /** Steps after a reduction in which nothing is counted. Default 0. */
  cooldown?: number;
  /** Least learning rate, one for all groups or one for each. Default 0. */
  minLearningRate?: number | readonly number[];
  /** A reduction by less is left out. Default 1e-8. */
  eps?: number;
}

export interface PlateauState {
  best: number;
  badSteps: number;
  cooldownLeft: number;
}

/** Multiplies the learning rates by `factor` when a metric has not improved for more than `patience` steps. */
export class ReduceLROnPlateau {
  private readonly options: Required<ReduceLROnPlateauOptions>;
  private state: PlateauState;

  constructor(
    private readonly optimizer: Optimizer,
    options?: ReduceLROnPlateauOptions,
  ) {
    const defaults: Required<ReduceLROnPlateauOptions> = {
      mode: 'min',
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: 'rel',
      cooldown: 0,
      minLearningRate: 0,
      eps: 1e-8,
    };
    const o = withDefaults('ReduceLROnPlateau', options, defaults, ['minLearningRate']);
    checkPlateau(o);
    this.options = o;
    this.state = {
      best: o.mode === 'min' ? Infinity : -Infinity,
      badSteps: 0,
      cooldownLeft: 0,
    };
  }

  /** Takes the metric of a step: of an epoch, as a rule. */
  step(metric: number): void {
    requireArgument(
      typeof metric === 'number',
      'ReduceLROnPlateau',
      () => `metric must be a number, got ${show(metric)}`,
    );
    const { state, options } = this;
    if (this.isBetter(metric)) {
      state.best = metric;
      state.badSteps = 0;
    } else {
      state.badSteps++;
    }
    if (state.cooldownLeft > 0) {
      state.cooldownLeft--;
      state.badSteps = 0;
    }
    if (state.badSteps > options.patience) {
      this.reduce();
      state.cooldownLeft = options.cooldown;
      state.badSteps = 0;
    }
  }

  stateDict(): PlateauState {
    return { ...this.state };
  }

  loadStateDict(state: PlateauState): void {
    const { best, badSteps, cooldownLeft } = state;
    requireArgument(
      typeof best === 'number' && Number.isInteger(badSteps) && Number.isInteger(cooldownLeft),
      'ReduceLROnPlateau',
      () => `state must have best, badSteps and cooldownLeft, got ${show(state)}`,
    );
    this.state = { best, badSteps, cooldownLeft };
  }

  private isBetter(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.options;
    const { best } = this.state;
    const sign = mode === 'min' ? -1 : 1;
    const bar = thresholdMode === 'rel' ? best * (1 + sign * threshold) : best + sign * threshold;
    return mode === 'min' ? metric < bar : metric > bar;
  }

  private reduce(): void {
    const { factor, eps, minLearningRate: least } = this.options;
    this.optimizer.groups.forEach((group, i) => {
      const floor = typeof least === 'number' ? least : (least[i] ?? 0);
      const reduced = Math.max(group.learningRate * factor, floor);
      if (group.learningRate - reduced > eps) group.learningRate = reduced;
    });
  }
}

function checkPlateau(o: Required<ReduceLROnPlateauOptions>): void {
  const { mode, thresholdMode, factor, patience, cooldown, threshold, eps } = o;
  const op = 'ReduceLROnPlateau';
  requireFinite(op, { factor, patience, cooldown, threshold, eps });
  for (const minLearningRate of [o.minLearningRate].flat()) requireFinite(op, { minLearningRate });
  requireArgument(factor < 1, op, () => `factor must be < 1, got ${factor}`);
  requireArgument(
    Number.isInteger(patience) && Number.isInteger(cooldown),
    op,
    () => `patience and cooldown must be integers, got ${patience} and ${cooldown}`,
  );
  requireArgument(
    mode === 'min' || mode === 'max',
    op,
    () => `mode must be 'min' or 'max', got ${show(mode)}`,
  );
  requireArgument(
    thresholdMode === 'rel' || thresholdMode === 'abs',
    op,
    () => `thresholdMode must be 'rel' or 'abs', got ${show(thresholdMode)}`,
  );
}
