import type { Case } from './case';
import { DIFFUSION } from './diffusion';
import { ELEMENTWISE } from './elementwise';
import { LINALG } from './linalg';
import { RANDOM } from './random';
import { REDUCE } from './reduce';
import { SHAPE } from './shape';
import { SHAPE_INDEX } from './shape-index';

/** The case tables by family. */
export const FAMILIES: Record<string, Case[]> = {
  elementwise: ELEMENTWISE,
  reduce: REDUCE,
  shape: [...SHAPE, ...SHAPE_INDEX],
  random: RANDOM,
  linalg: LINALG,
  diffusion: DIFFUSION,
};

export const CASES: Case[] = Object.values(FAMILIES).flat();
