import { native } from '../native';

/** The profile of the device's queue as the addon keeps it; see native/bindings/profiling.cpp. */
export const profiling = {
  start: (capacity: number): void => native.profileStart(capacity),
  mark: (): number => native.profileMark(),
  stop: (): ReturnType<typeof native.profileStop> => native.profileStop(),
  /** Id of the op that has a number. */
  nameOf: (op: number): string => native.ops[op]!.name,
};
