/** What an epoch of training came to. */
export interface EpochRecord {
  /** Counted from 1. */
  epoch: number;
  /** Mean over the samples of the epoch, while the weights changed. */
  loss: number;
  /** The same of the metrics. */
  metrics: Record<string, number>;
  /** Loss and metrics on the validation data after the epoch. */
  validation?: Record<string, number>;
  /** Learning rate after the epoch. */
  learningRate: number;
  seconds: number;
}

/** The course of a training run, what happened before a resume included. */
export interface History {
  epochs: EpochRecord[];
  /** Loss of each step. */
  losses: number[];
  /** Learning rate of each step. */
  learningRates: number[];
  /** Whether a signal ended it. */
  aborted: boolean;
}

/** An epoch in one line. */
export function describeEpoch(record: EpochRecord, epochs: number): string {
  const values = (entries: Record<string, number>, prefix = '') =>
    Object.entries(entries).map(([name, value]) => `${prefix}${name} ${value.toPrecision(4)}`);
  return [
    `epoch ${record.epoch}/${epochs}`,
    ...values({ loss: record.loss, ...record.metrics }),
    ...values(record.validation ?? {}, 'validation '),
    `${record.seconds.toFixed(1)} s`,
  ].join('  ');
}
