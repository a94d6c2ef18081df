import { Tensor } from '../tensor/tensor';
import { type BackwardOptions, backward } from '../autograd/gradients';
import * as adrStep from './advection-adr-step';
import * as gridSample from './advection-grid-sample';
import * as semiLagrangian from './advection-semi-lagrangian';
import * as stability from './advection-stability';
import * as upwind from './advection-upwind';
import * as complex from './complex';
import * as diffusion from './diffusion';
import * as elementwise from './elementwise';
import * as activation from './elementwise-activation';
import * as normalizeBytes from './elementwise-normalize-bytes';
import * as linalg from './linalg';
import * as random from './random';
import * as reduce from './reduce';
import * as shape from './shape';
import * as cumsum from './reduce-cumsum';
import * as shapeIndex from './shape-index';
import * as shapePad from './shape-pad';
import * as spectralDiffusion from './spectral-diffusion';
import * as fourier from './spectral-fourier';
import * as meshFree from './spectral-mesh-free';

// Every function of the op families whose first parameter is a tensor, as a method of Tensor: x.mul(2).sum().
// A new op becomes a method by being exported from its family.

const FAMILIES = [
  elementwise,
  activation,
  normalizeBytes,
  reduce,
  complex,
  shape,
  cumsum,
  shapeIndex,
  shapePad,
  random,
  linalg,
  diffusion,
  fourier,
  spectralDiffusion,
  meshFree,
  stability,
  upwind,
  semiLagrangian,
  adrStep,
  gridSample,
] as const;

type Intersection<Union> = (Union extends unknown ? (part: Union) => void : never) extends (
  whole: infer Whole,
) => void
  ? Whole
  : never;

/** All exports of all families. */
type Families = Intersection<(typeof FAMILIES)[number]>;

/** What the families export that does not begin with a tensor. */
const NOT_METHODS = [
  'cat',
  'stack',
  'einsum',
  'rand',
  'randn',
  'randint',
  'bernoulli',
  'permutation',
  'cflBound',
  'stableTimeStep',
  'lieSplitting',
  'strangSplitting',
  'fftfreq',
  'rfftfreq',
] as const;

type MethodName = Exclude<keyof Families, (typeof NOT_METHODS)[number]>;

/** A function without its first parameter. */
type Method<F> = F extends (self: infer _Self, ...rest: infer Rest) => infer Result
  ? (...rest: Rest) => Result
  : never;

/** The operations as methods; see the functions of the same names. */
export type TensorMethods = { [Name in MethodName]: Method<Families[Name]> };

declare module '../tensor/tensor' {
  interface Tensor extends TensorMethods {
    /** Adds the gradients of this tensor to the `grad` of the leaves that it was computed from. */
    backward(cotangent?: Tensor, options?: BackwardOptions): void;
  }
}

type TensorFirst = (self: Tensor, ...rest: unknown[]) => unknown;

const methods = Object.assign({}, ...FAMILIES, { backward }) as Record<string, TensorFirst>;
for (const name of NOT_METHODS) delete methods[name];

for (const [name, run] of Object.entries(methods)) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return run(this, ...rest);
    },
    configurable: true,
    writable: true,
  });
}

// Without an export of a value the bundler takes this file for CommonJS and wraps all that it imports.
export {};
