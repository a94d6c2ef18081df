import type { Case } from './case';
import { CONVOLUTION } from './cases/convolution';
import { DENSE } from './cases/dense';
import { DIFFUSION } from './cases/diffusion';
import { ELEMENTWISE } from './cases/elementwise';
import { TRAINING } from './cases/training';

export const CASES: readonly Case[] = [
  ...ELEMENTWISE,
  ...DENSE,
  ...CONVOLUTION,
  ...DIFFUSION,
  ...TRAINING,
];

/** Cases whose name contains one of the filters; all without filters. */
export function selectCases(filters: readonly string[]): Case[] {
  return CASES.filter(
    ({ name }) => filters.length === 0 || filters.some((filter) => name.includes(filter)),
  );
}
