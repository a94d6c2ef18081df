import { type DType, Tensor, randn } from 'fluxion';

/** Named sizes and choices of a case; peers get the same object. */
export type Sizes = Readonly<Record<string, number | string>>;

export type PeerName = 'torch' | 'torch-keep' | 'typed-array' | 'fftw-estimate' | 'fftw-measure';

/** A case made ready: its inputs exist. */
export interface Instance {
  /** One call on input set `set`. The trial wraps it in tidy and waits for the device itself. */
  run(set: number): unknown;
  /** Throws unless the result agrees with a naive reference or an independent formulation. */
  verify(): void | Promise<void>;
}

/** The least that any implementation has to move and to compute for a call. */
export interface Floors {
  bytes: number;
  flops: number;
}

export interface Case<S extends Sizes = Sizes> {
  /** Stable: results of different commits are compared by it. */
  name: string;
  /** Which formulation of the peer drivers answers it. */
  peer: string;
  peers: readonly PeerName[];
  dtype: DType;
  sizes: S;
  /** Sizes for a test of the harness itself. */
  small: S;
  floors(sizes: S): Floors;
  /** Bytes of one set of inputs; 0 for a case that is meant to stay in the cache. */
  inputBytes(sizes: S): number;
  /** How many operations a call makes, where the time of one of them is wanted. Default 1. */
  operations?(sizes: S): number;
  setup(sizes: S, sets: number): Instance;
}

export const TORCH: readonly PeerName[] = ['torch', 'torch-keep'];

/** Forgets the type of the sizes, so that cases of all kinds fit into one list. */
export function defineCase<S extends Sizes>(definition: Case<S>): Case {
  return definition;
}

/** The same random values in `sets` places of memory. */
export function inputSets(
  sets: number,
  shape: readonly number[],
  { seed = 1, requiresGrad = false } = {},
): Tensor[] {
  const first = randn(shape, { seed });
  const all = [first, ...Array.from({ length: sets - 1 }, () => first.clone())];
  for (const tensor of all) tensor.requiresGrad = requiresGrad;
  return all;
}

let cleared: readonly Tensor[] = [];

/**
 * Drops gradients, so that the next call computes them afresh, and those of the call before: a training step
 * uses the memory of its gradients again (and PyTorch's driver frees them with each call), but the inputs of
 * a trial take turns, and gradients that waited for theirs would be new memory every time.
 */
export function clearGrads(...tensors: Tensor[]): void {
  for (const tensor of [...cleared, ...tensors]) {
    tensor.grad?.dispose();
    tensor.grad = null;
  }
  cleared = tensors;
}

/** Throws unless |actual - expected| <= tolerance (1 + |expected|); NaN never passes. */
export function expectClose(
  what: string,
  actual: number,
  expected: number,
  tolerance: number,
): void {
  if (Math.abs(actual - expected) <= tolerance * (1 + Math.abs(expected))) return;
  throw new Error(`${what}: expected ${expected} within ${tolerance}, got ${actual}`);
}

/**
 * Compares a result with a reference at `samples` positions spread over it, the first and the last among
 * them. The stride is odd, so no power of two hides from it.
 */
export function expectSampled(
  what: string,
  actual: Tensor | ArrayLike<number>,
  expected: (index: number) => number,
  tolerance: number,
  samples = 2000,
): void {
  const values = actual instanceof Tensor ? actual.dataSync() : actual;
  const stride = Math.max(1, Math.floor(values.length / samples)) | 1;
  const check = (i: number) => expectClose(`${what}[${i}]`, values[i]!, expected(i), tolerance);
  for (let i = 0; i < values.length; i += stride) check(i);
  check(values.length - 1);
}
