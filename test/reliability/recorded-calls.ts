// The calls of public functions that the case tables make, with their arguments: the valid calls from which the
// properties make invalid ones. The tables get a library whose functions write down how they are called.
import Module, { createRequire } from 'node:module';
import path from 'node:path';
import * as fluxion from '../../lib';
import { type DType, type Tensor, isTensor } from '../../lib';
import type { Case } from '../cases/case';
import { type Content, partsOf } from './views';

/** An argument that stands for a tensor. */
export class TensorArgument {
  constructor(
    readonly content: Content,
    readonly requiresGrad = false,
  ) {}
  toString(): string {
    return `${this.content.dtype}[${this.content.shape.join(', ')}]`;
  }
}

export interface Call {
  name: string;
  args: unknown[];
}

const FOLDER = path.join(__dirname, '..', 'cases');
/** Functions of the library that are no operators. */
const NOT_OPERATORS =
  /^(tensor|tidy|keep|noGrad|backward|grad|valueAndGrad|vjp|checkpoint|customGrad|manualSeed|profile|memory|config|devices|setNumThreads|isTensor|generatorState|setGeneratorState|capture|lieSplitting|strangSplitting)$/;

/** A value of a call as it can be kept: tensors as their values. */
function frozen(value: unknown): unknown {
  if (value instanceof TensorArgument) return value;
  if (isTensor(value)) {
    const { shape, dtype } = value;
    const data = Float64Array.from(value.dataSync());
    return new TensorArgument({ shape: [...shape], dtype, data }, value.requiresGrad);
  }
  if (Array.isArray(value)) return value.map(frozen);
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, frozen(entry)]));
  }
  return value;
}

/** The arguments of a call with tensors in their places. */
export function thawed(value: unknown, make: (argument: TensorArgument) => Tensor): unknown {
  if (value instanceof TensorArgument) return make(value);
  if (Array.isArray(value)) return value.map((entry) => thawed(entry, make));
  if (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype
  ) {
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, thawed(entry, make)]),
    );
  }
  return value;
}

type Load = (request: string, parent: NodeModule | undefined, isMain: boolean) => unknown;

/** The case tables, with every call of an operator reported. */
function casesReporting(report: (name: string, args: unknown[]) => void): Case[] {
  const library = Object.fromEntries(
    Object.entries(fluxion).map(([name, value]) => {
      if (typeof value !== 'function' || /^[A-Z]/.test(name) || NOT_OPERATORS.test(name))
        return [name, value];
      const run = value as (...args: unknown[]) => unknown;
      const reporting = (...args: unknown[]) => {
        report(name, args);
        return run(...args);
      };
      return [name, reporting];
    }),
  );
  const loader = Module as unknown as { _load: Load };
  const load = loader._load;
  loader._load = function (request, parent, isMain) {
    const loaded = load.call(this, request, parent, isMain);
    return loaded === fluxion && parent?.filename.startsWith(FOLDER) ? library : loaded;
  };
  try {
    const tables = createRequire(__filename)('../cases') as { CASES: Case[] };
    return tables.CASES;
  } finally {
    loader._load = load;
  }
}

const LARGEST = 4096;

/** Calls by function: those of the tables whose tensors are small, and a few of functions without a case. */
export function recordedCalls(): { calls: Map<string, Call[]>; cases: Case[] } {
  const calls = new Map<string, Call[]>();
  const seen = new Set<string>();
  const report = (name: string, args: unknown[]) => {
    const call = { name, args: args.map(frozen) };
    let largest = 0;
    thawed(call.args, (argument) => {
      largest = Math.max(largest, argument.content.data.length);
      return undefined as never;
    });
    const key = describe(call);
    if (largest > LARGEST || seen.has(key)) return;
    seen.add(key);
    calls.set(name, [...(calls.get(name) ?? []), call]);
  };
  const cases = casesReporting(report);
  const { inputTensors } = createRequire(__filename)('../cases/case') as {
    inputTensors: (c: Case, dtype: DType) => Tensor[];
  };
  for (const c of cases) fluxion.tidy(() => void c.run(...inputTensors(c, 'float64')));
  for (const [name, args] of FURTHER) report(name, args);
  return { calls, cases };
}

const vector = (dtype: DType, ...data: number[]) =>
  new TensorArgument({
    shape: [data.length / partsOf(dtype)],
    dtype,
    data: Float64Array.from(data),
  });

/** Functions that no case calls. */
const FURTHER: [string, unknown[]][] = [
  ['zeros', [[2, 3], { dtype: 'int32' }]],
  ['ones', [[2, 3], { dtype: 'float64' }]],
  ['empty', [[2]]],
  ['full', [[2, 3], 1.5, { dtype: 'complex64' }]],
  ['arange', [0, 5, 2, { dtype: 'int32' }]],
  ['linspace', [0, 1, 5, { dtype: 'float64' }]],
  ['eye', [3, { dtype: 'float64' }]],
  ['detach', [vector('float64', 1, 2)]],
  ['to', [vector('float64', 1, 2), 'float32']],
  ['onesLike', [vector('float64', 1, 2), { dtype: 'int32' }]],
  ['zerosLike', [vector('int32', 1, 2), { dtype: 'float64' }]],
  ['var', [vector('float64', 1, 2, 3), { dim: 0, correction: 0 }]],
  ...['rfftn', 'dstn', 'idctn', 'idstn'].map((name): [string, unknown[]] => [
    name,
    [vector('float64', 1, 2, 3, 4, 5), { dim: [0], s: [6] }],
  ]),
  ...['ifftn', 'irfftn'].map((name): [string, unknown[]] => [
    name,
    [vector('complex128', 1, 0, 3, 4, 5, 0), { dim: [0] }],
  ]),
  ['fftfreq', [5, { d: 0.5 }]],
  ['rfftfreq', [5, { d: 0.5 }]],
  ['cflNumber', [vector('float64', 1, 2), { dt: 0.1 }]],
  ['stableTimeStep', [{ velocity: vector('float64', 1, 2), diffusivity: 0.5, dx: 0.5 }]],
  ['cflBound', ['advectUpwind2d', { scheme: 'minmod' }]],
];

const short = (value: unknown): string => {
  if (value instanceof TensorArgument) return value.toString();
  if (Array.isArray(value)) return `[${value.map(short).join(', ')}]`;
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    const entries = Object.entries(value).map(([key, entry]) => `${key}: ${short(entry)}`);
    return `{ ${entries.join(', ')} }`;
  }
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  return Object.is(value, -0) ? '-0' : String(value);
};

/** A call as text, tensors by dtype and shape. */
export function describe({ name, args }: Call): string {
  return `${name}(${args.map(short).join(', ')})`;
}

/** Operators of the library that no recorded call calls. */
export function notCalled(calls: ReadonlyMap<string, unknown>): string[] {
  return Object.entries(fluxion)
    .filter(([name, value]) => typeof value === 'function' && !/^[A-Z]/.test(name))
    .map(([name]) => name)
    .filter((name) => !NOT_OPERATORS.test(name) && !calls.has(name));
}
