import { FluxionError, requireArgument, show } from '../errors';
import { withDefaults } from '../ops/define';
import type { Optimizer } from './optimizer';

/** A value of a group after `step` steps, from its value before the first. */
type Schedule = (base: number, step: number) => number;

/** Momentum after `step` steps; undefined where a schedule leaves it alone. */
type MomentumSchedule = (step: number) => number | undefined;

export interface SchedulerState {
  step: number;
  baseLearningRates: number[];
}

// The learning rate from which schedules count, and the one that a scheduler has set last. Several schedulers
// of one optimizer count from the same rate, unless it has been set by hand in between.
const rates = new WeakMap<object, { base: number; set: number }>();

function baseOf(group: { learningRate: number }): number {
  const known = rates.get(group);
  return known && known.set === group.learningRate ? known.base : group.learningRate;
}

/** Throws unless it has groups with learning rates. */
export function requireOptimizer(op: string, optimizer: unknown): void {
  const groups = (optimizer as { groups?: unknown } | null | undefined)?.groups;
  requireArgument(
    Array.isArray(groups),
    op,
    () => `optimizer must be an optimizer, got ${show(optimizer)}`,
  );
}

/**
 * Sets the learning rate of each group of an optimizer from the number of steps so far. Call step() after
 * the optimizer's: once for each batch or once for each epoch, in whichever unit the options are meant.
 * Groups that are added to the optimizer later are followed from their learning rate on.
 */
export abstract class Scheduler {
  private count = 0;
  private bases: number[] = [];

  protected constructor(
    protected readonly optimizer: Optimizer,
    /** @internal */
    readonly rate: Schedule,
    /** @internal */
    readonly momentum?: MomentumSchedule,
    /** @internal */
    readonly lastStep = Infinity,
  ) {
    requireOptimizer(new.target.name, optimizer);
    this.apply();
  }

  /** Whether it sets the learning rates of this optimizer. */
  belongsTo(optimizer: Optimizer): boolean {
    return this.optimizer === optimizer;
  }

  /** Number of steps so far. */
  get steps(): number {
    return this.count;
  }

  /** Moves the learning rate on by one step. */
  step(): void {
    if (this.count >= this.lastStep) {
      throw new FluxionError(
        'FLUXION_INVALID_ARGUMENT',
        this.constructor.name,
        `step must be called at most totalSteps = ${this.lastStep} times; ` +
          'totalSteps must be epochs x batches where a step is a batch',
      );
    }
    this.count++;
    this.apply();
  }

  stateDict(): SchedulerState {
    return { step: this.count, baseLearningRates: [...this.bases] };
  }

  loadStateDict(state: SchedulerState): void {
    const { step, baseLearningRates: bases } = state;
    const groups = this.optimizer.groups.length;
    requireArgument(
      Number.isInteger(step) && step >= 0 && bases?.length === groups,
      this.constructor.name,
      () => `state must have a step and ${groups} base learning rates, got ${show(state)}`,
    );
    this.count = step;
    this.bases = [...bases];
    this.apply();
  }

  private apply(): void {
    const momentum = this.momentum?.(this.count);
    this.optimizer.groups.forEach((group, i) => {
      const base = (this.bases[i] ??= baseOf(group));
      group.learningRate = this.rate(base, this.count);
      rates.set(group, { base, set: group.learningRate });
      if (momentum === undefined) return;
      if (group.betas) group.betas = [momentum, group.betas[1]];
      else group.momentum = momentum;
    });
  }
}

export function requireCount(op: string, name: string, value: number): void {
  requireArgument(
    Number.isInteger(value) && value > 0,
    op,
    () => `${name} must be an integer > 0, got ${show(value)}`,
  );
}

export function requireFinite(op: string, values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values)) {
    requireArgument(
      Number.isFinite(value) && value >= 0,
      op,
      () => `${name} must be a number >= 0, got ${show(value)}`,
    );
  }
}

/** From a to b as x goes from 0 to 1, along half a cosine. */
function cosine(a: number, b: number, x: number): number {
  return b + ((a - b) / 2) * (1 + Math.cos(Math.PI * x));
}

/** base gamma^floor(step / stepSize); gamma is 0.1 by default. */
export class StepLR extends Scheduler {
  constructor(optimizer: Optimizer, stepSize: number, options?: { gamma?: number }) {
    const { gamma } = withDefaults('StepLR', options, { gamma: 0.1 });
    requireCount('StepLR', 'stepSize', stepSize);
    requireFinite('StepLR', { gamma });
    super(optimizer, (base, step) => base * gamma ** Math.floor(step / stepSize));
  }
}

/** base gamma^(number of milestones reached); gamma is 0.1 by default. */
export class MultiStepLR extends Scheduler {
  constructor(optimizer: Optimizer, milestones: readonly number[], options?: { gamma?: number }) {
    const { gamma } = withDefaults('MultiStepLR', options, { gamma: 0.1 });
    requireArgument(
      Array.isArray(milestones) && milestones.every((m) => Number.isInteger(m) && m >= 0),
      'MultiStepLR',
      () => `milestones must be integers >= 0, got ${show(milestones)}`,
    );
    requireFinite('MultiStepLR', { gamma });
    const reached = (step: number) => milestones.filter((milestone) => milestone <= step).length;
    super(optimizer, (base, step) => base * gamma ** reached(step));
  }
}

/** base gamma^step. */
export class ExponentialLR extends Scheduler {
  constructor(optimizer: Optimizer, gamma: number) {
    requireFinite('ExponentialLR', { gamma });
    super(optimizer, (base, step) => base * gamma ** step);
  }
}

/** etaMin + (base - etaMin) (1 + cos(pi step / tMax)) / 2; etaMin is 0 by default. */
export class CosineAnnealingLR extends Scheduler {
  constructor(optimizer: Optimizer, tMax: number, options?: { etaMin?: number }) {
    const { etaMin } = withDefaults('CosineAnnealingLR', options, { etaMin: 0 });
    requireCount('CosineAnnealingLR', 'tMax', tMax);
    requireFinite('CosineAnnealingLR', { etaMin });
    super(optimizer, (base, step) => cosine(base, etaMin, step / tMax));
  }
}

/** base times a factor that grows linearly from startFactor (1/3) to endFactor (1) in totalSteps (5) steps. */
export class LinearWarmup extends Scheduler {
  constructor(
    optimizer: Optimizer,
    options?: { startFactor?: number; endFactor?: number; totalSteps?: number },
  ) {
    const defaults = { startFactor: 1 / 3, endFactor: 1, totalSteps: 5 };
    const { startFactor, endFactor, totalSteps } = withDefaults('LinearWarmup', options, defaults);
    requireCount('LinearWarmup', 'totalSteps', totalSteps);
    requireFinite('LinearWarmup', { startFactor, endFactor });
    super(optimizer, (base, step) => {
      const x = Math.min(step, totalSteps) / totalSteps;
      return base * (startFactor + (endFactor - startFactor) * x);
    });
  }
}

export interface OneCycleLROptions {
  /** Number of steps of the whole cycle. */
  totalSteps: number;
  /** Share of the cycle in which the rate grows. Default 0.3. */
  pctStart?: number;
  /** The first rate is maxLearningRate / divFactor. Default 25. */
  divFactor?: number;
  /** The last rate is the first / finalDivFactor. Default 1e4. */
  finalDivFactor?: number;
  /** Default 'cos'. */
  annealStrategy?: 'cos' | 'linear';
  /** Moves momentum (Adam: beta1) the other way. Default true. */
  cycleMomentum?: boolean;
  /** Momentum at the highest rate. Default 0.85. */
  baseMomentum?: number;
  /** Momentum at both ends. Default 0.95. */
  maxMomentum?: number;
}

/**
 * One cycle; Smith and Topin (2019), in PyTorch's two phases: up from maxLearningRate / divFactor in the
 * first pctStart of the steps, then down to maxLearningRate / divFactor / finalDivFactor.
 */
export class OneCycleLR extends Scheduler {
  constructor(optimizer: Optimizer, maxLearningRate: number, options: OneCycleLROptions) {
    const o = withDefaults<Required<OneCycleLROptions>>('OneCycleLR', options, {
      totalSteps: 0,
      pctStart: 0.3,
      divFactor: 25,
      finalDivFactor: 1e4,
      annealStrategy: 'cos',
      cycleMomentum: true,
      baseMomentum: 0.85,
      maxMomentum: 0.95,
    });
    requireOptimizer('OneCycleLR', optimizer);
    requireCount('OneCycleLR', 'totalSteps', o.totalSteps);
    checkOneCycle(maxLearningRate, o);
    requireArgument(
      !o.cycleMomentum || optimizer.groups.every((g) => g.betas ?? g.momentum !== undefined),
      'OneCycleLR',
      'cycleMomentum must be false for an optimizer without momentum',
    );
    const first = maxLearningRate / o.divFactor;
    const peak = o.pctStart * o.totalSteps - 1;
    const end = o.totalSteps - 1;
    const between =
      o.annealStrategy === 'cos' ? cosine : (a: number, b: number, x: number) => a + (b - a) * x;
    const follow = (start: number, top: number, last: number, step: number) => {
      if (step <= peak) return between(start, top, peak > 0 ? step / peak : 1);
      return between(top, last, end > peak ? Math.min(1, (step - peak) / (end - peak)) : 1);
    };
    super(
      optimizer,
      (_, step) => follow(first, maxLearningRate, first / o.finalDivFactor, step),
      o.cycleMomentum
        ? (step) => follow(o.maxMomentum, o.baseMomentum, o.maxMomentum, step)
        : undefined,
      o.totalSteps,
    );
  }
}

function checkOneCycle(maxLearningRate: number, o: Required<OneCycleLROptions>): void {
  const { baseMomentum, maxMomentum, divFactor, finalDivFactor, pctStart, annealStrategy } = o;
  requireFinite('OneCycleLR', { maxLearningRate, baseMomentum, maxMomentum });
  requireArgument(
    divFactor > 0 && finalDivFactor > 0,
    'OneCycleLR',
    () => `divFactor and finalDivFactor must be > 0, got ${divFactor} and ${finalDivFactor}`,
  );
  requireArgument(
    pctStart >= 0 && pctStart <= 1,
    'OneCycleLR',
    () => `pctStart must be in [0, 1], got ${show(pctStart)}`,
  );
  requireArgument(
    annealStrategy === 'cos' || annealStrategy === 'linear',
    'OneCycleLR',
    () => `annealStrategy must be 'cos' or 'linear', got ${show(annealStrategy)}`,
  );
}
