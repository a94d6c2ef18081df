import type { Case } from './case';
import { DIFFUSION } from './diffusion';
import { ELEMENTWISE } from './elementwise';
import { ELEMENTWISE_OPTIONS } from './elementwise-options';
import { CONVOLUTION } from './convolution';
import { EPILOGUE } from './epilogue';
import { LOSS } from './loss';
import { MATRIX_PRODUCT } from './matmul';
import { NORMALIZATION } from './normalization';
import { POOLING } from './pooling';
import { RANDOM } from './random';
import { REDUCE } from './reduce';
import { SHAPE } from './shape';
import { SHAPE_INDEX } from './shape-index';
import { SHAPE_PAD } from './shape-pad';
import { DENSE_SOLVE } from './dense-solve';
import { EINSUM } from './einsum';
import { INTERPOLATE } from './interpolate';
import { ADR_STEP } from './adr-step';
import { COMPLEX } from './complex';
import { NORMALIZE_BYTES } from './normalize-bytes';
import { FOURIER } from './fourier';
import { MESH_FREE } from './mesh-free';
import { SEMI_LAGRANGIAN } from './semi-lagrangian';
import { SPECTRAL_DIFFUSION } from './spectral-diffusion';
import { UPWIND } from './upwind';
import { VARIABLE_DIFFUSION } from './variable-diffusion';

/** The case tables by family. */
export const FAMILIES: Record<string, Case[]> = {
  images: NORMALIZE_BYTES,
  elementwise: [...ELEMENTWISE, ...ELEMENTWISE_OPTIONS],
  reduce: REDUCE,
  shape: [...SHAPE, ...SHAPE_INDEX, ...SHAPE_PAD],
  random: RANDOM,
  matmul: MATRIX_PRODUCT,
  convolution: [...CONVOLUTION, ...EPILOGUE],
  pooling: POOLING,
  normalization: NORMALIZATION,
  loss: LOSS,
  complex: COMPLEX,
  interpolate: INTERPOLATE,
  denseSolve: DENSE_SOLVE,
  einsum: EINSUM,
  diffusion: [...DIFFUSION, ...VARIABLE_DIFFUSION],
  fourier: FOURIER,
  spectralDiffusion: SPECTRAL_DIFFUSION,
  meshFree: MESH_FREE,
  upwind: UPWIND,
  semiLagrangian: SEMI_LAGRANGIAN,
  adrStep: ADR_STEP,
};

export const CASES: Case[] = Object.values(FAMILIES).flat();
