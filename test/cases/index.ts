import type { Case } from './case';
import { ELEMENTWISE } from './elementwise';
import { REDUCE } from './reduce';

/** The case tables by family. */
export const FAMILIES: Record<string, Case[]> = {
  elementwise: ELEMENTWISE,
  reduce: REDUCE,
};

export const CASES: Case[] = Object.values(FAMILIES).flat();
