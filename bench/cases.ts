import type { Case } from './case';
import { ADR_STEP } from './cases/adr-step';
import { COMPLEX } from './cases/complex';
import { CONVOLUTION } from './cases/convolution';
import { DENSE } from './cases/dense';
import { DIFFUSION } from './cases/diffusion';
import { ELEMENTWISE } from './cases/elementwise';
import { FOURIER } from './cases/fourier';
import { INTERPOLATE } from './cases/interpolate';
import { MESH_FREE } from './cases/mesh-free';
import { OPTIMIZER } from './cases/optimizer';
import { NORMALIZATION } from './cases/normalization';
import { REDUCTIONS } from './cases/reductions';
import { SEMI_LAGRANGIAN } from './cases/semi-lagrangian';
import { SPECTRAL_DIFFUSION } from './cases/spectral-diffusion';
import { UPWIND } from './cases/upwind';
import { VARIABLE_DIFFUSION } from './cases/variable-diffusion';
import { TRAINING } from './cases/training';

export const CASES: readonly Case[] = [
  ...ELEMENTWISE,
  ...COMPLEX,
  ...DENSE,
  ...NORMALIZATION,
  ...REDUCTIONS,
  ...CONVOLUTION,
  ...INTERPOLATE,
  ...DIFFUSION,
  ...VARIABLE_DIFFUSION,
  ...FOURIER,
  ...SPECTRAL_DIFFUSION,
  ...MESH_FREE,
  ...UPWIND,
  ...SEMI_LAGRANGIAN,
  ...ADR_STEP,
  ...OPTIMIZER,
  ...TRAINING,
];

/** Cases whose name contains one of the filters; all without filters. */
export function selectCases(filters: readonly string[]): Case[] {
  return CASES.filter(
    ({ name }) => filters.length === 0 || filters.some((filter) => name.includes(filter)),
  );
}
