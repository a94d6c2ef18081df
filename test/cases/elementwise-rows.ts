import type { Case, Input, Values } from './case';

// Around the widest SIMD register (16 float32), with a tail, and in two dimensions for strided views.
export const SHAPES = [[1], [15], [16], [17], [5, 37]];
/** Enough elements for every thread to have a share. */
export const LARGE = [300, 257];

export const map = (x: Values, f: (v: number) => number): Values => ({
  shape: x.shape,
  data: x.data.map(f),
});

export type Row = Omit<Case, 'name' | 'ops' | 'inputs' | 'run' | 'reference'> & {
  input?: Omit<Input, 'shape'>;
};

export const positive = { input: { range: [0.1, 4] as const } };
