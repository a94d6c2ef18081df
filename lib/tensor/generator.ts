import { requireArgument, show } from '../errors';

/** State of the counter-based generator (Philox 4x32-10): the next draw begins at block `offset`. */
export interface GeneratorState {
  seed: number;
  offset: number;
}

const state: GeneratorState = { seed: Math.floor(Math.random() * 2 ** 48), offset: 0 };

/** Seeds the random numbers of this JavaScript environment: what follows is reproducible. */
export function manualSeed(seed: number): void {
  requireArgument(
    Number.isSafeInteger(seed) && seed >= 0,
    'manualSeed',
    () => `seed must be an integer in [0, 2^53), got ${show(seed)}`,
  );
  state.seed = seed;
  state.offset = 0;
}

/** The state, to be restored with {@link setGeneratorState}; part of a training checkpoint. */
export function generatorState(): GeneratorState {
  return { ...state };
}

export function setGeneratorState(given: GeneratorState): void {
  state.seed = given.seed;
  state.offset = given.offset;
}

/** Takes the blocks of a draw of n elements: every draw consumes ceil(n / 2), whatever its dtype. */
export function takeBlocks(n: number): GeneratorState {
  const taken = { ...state };
  state.offset += Math.ceil(n / 2);
  return taken;
}
