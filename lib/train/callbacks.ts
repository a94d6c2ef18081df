import type { EpochRecord, History } from './history';

export interface StepRecord {
  /** Number of the step, counted from 1 over the whole run. */
  step: number;
  /** Counted from 1. */
  epoch: number;
  loss: number;
  metrics: Record<string, number>;
  learningRate: number;
}

/** What train.fit calls while it runs. */
export interface Callbacks {
  /** Before the first step of this process: how many steps and epochs were done before (resumed), else 0. */
  onStart?(place: { step: number; epoch: number }): void | Promise<void>;
  /** After the numbers of a step have arrived; the next step may be under way. */
  onStep?(record: StepRecord): void;
  /** After an epoch and its validation. */
  onEpoch?(record: EpochRecord, history: History): void | Promise<void>;
  /** When the run ends, is aborted or fails. */
  onEnd?(): void | Promise<void>;
}

/** Several callbacks as one, called in order. */
export function combineCallbacks(
  given: Callbacks | readonly Callbacks[] | undefined,
): Required<Callbacks> {
  const all: readonly Callbacks[] =
    given === undefined ? [] : Array.isArray(given) ? (given as Callbacks[]) : [given as Callbacks];
  return {
    async onStart(place) {
      for (const callbacks of all) await callbacks.onStart?.(place);
    },
    onStep(record) {
      for (const callbacks of all) callbacks.onStep?.(record);
    },
    async onEpoch(record, history) {
      for (const callbacks of all) await callbacks.onEpoch?.(record, history);
    },
    async onEnd() {
      for (const callbacks of all) await callbacks.onEnd?.();
    },
  };
}
