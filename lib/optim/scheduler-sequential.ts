import { requireArgument, show } from '../errors';
import type { Optimizer } from './optimizer';
import { Scheduler } from './scheduler';

/** The schedulers in their turn: the one whose time it is after `step` steps, and how long it has run. */
function turnOf(schedulers: readonly Scheduler[], milestones: readonly number[], step: number) {
  const turn = milestones.filter((milestone) => milestone <= step).length;
  return { scheduler: schedulers[turn]!, local: step - (milestones[turn - 1] ?? 0) };
}

/**
 * Schedules that follow each other: `schedulers[i]` from step milestones[i - 1] on, each as if its first step
 * were then, all from the learning rate that the optimizer had before the first of them was made. Step this
 * one only.
 *
 * @example
 * const warmup = new LinearWarmup(optimizer, { totalSteps: 100 });
 * const cosine = new CosineAnnealingLR(optimizer, 900);
 * const scheduler = new SequentialLR(optimizer, [warmup, cosine], [100]);
 */
export class SequentialLR extends Scheduler {
  constructor(
    optimizer: Optimizer,
    schedulers: readonly Scheduler[],
    milestones: readonly number[],
  ) {
    const isList: boolean = Array.isArray(milestones);
    const last = Array.isArray(schedulers) ? (schedulers as Scheduler[]).at(-1) : undefined;
    requireArgument(
      last !== undefined &&
        schedulers.every((s) => s instanceof Scheduler && s.belongsTo(optimizer)),
      'SequentialLR',
      'schedulers must be a list of schedulers of this optimizer',
    );
    requireArgument(
      isList &&
        milestones.length === schedulers.length - 1 &&
        milestones.every((m, i) => Number.isInteger(m) && m > (milestones[i - 1] ?? 0)),
      'SequentialLR',
      () =>
        `milestones must be ${schedulers.length - 1} increasing integers > 0, got ${show(milestones)}`,
    );
    schedulers.forEach(({ lastStep }, i) => {
      const span = (milestones[i] ?? 0) - (milestones[i - 1] ?? 0);
      requireArgument(
        lastStep >= span - 1,
        'SequentialLR',
        () => `schedulers must last until the next milestone, got one of ${lastStep} steps`,
      );
    });
    super(
      optimizer,
      (base, step) => {
        const { scheduler, local } = turnOf(schedulers, milestones, step);
        return scheduler.rate(base, local);
      },
      (step) => {
        const { scheduler, local } = turnOf(schedulers, milestones, step);
        return scheduler.momentum?.(local);
      },
      (milestones.at(-1) ?? 0) + last.lastStep,
    );
  }
}
