// One call that may be anything but a crash: it ends in values or in a FluxionError whose code is documented, never
// in another error, shows no memory that nobody wrote, and leaves no tensor behind.
import * as fluxion from '../../lib';
import { FluxionError, type Tensor, isTensor, manualSeed, memory, tidy } from '../../lib';
import { ERROR_CODES } from '../../lib/errors';
import { native } from '../../lib/native';
import { randomStream } from '../cases/case';
import type { TensorArgument } from './recorded-calls';
import { type Call, thawed } from './recorded-calls';
import { type ViewPlan, contiguousOf, moved, shownValues, viewOf } from './views';

/** Codes that a wrong call may end in; FLUXION_INTERNAL and the like are faults of the library. */
const EXPECTED = new Set<string>(
  ERROR_CODES.filter((code) => !/INTERNAL|BACKEND_FAILURE|CORRUPT_FILE/.test(code)),
);

/** What is wrong with the outcome of a call. */
export class Violation extends Error {}

/** Values of the tensors in a result, or the code of the error. */
export type Outcome = { code: string } | { values: Values[] };

export interface Values {
  shape: readonly number[];
  dtype: string;
  data: ArrayLike<number>;
}

export type Make = (argument: TensorArgument) => Tensor;

function tensorsOf(value: unknown): Tensor[] {
  if (isTensor(value)) return [value];
  return Array.isArray(value) ? value.flatMap(tensorsOf) : [];
}

/** Fresh memory is filled with ones: as a float that is a NaN which no arithmetic produces by itself. */
function requireWritten({ data }: Values, what: string): void {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return;
  const words = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  const step = data.BYTES_PER_ELEMENT / 4;
  for (let i = 0; i < words.length; i += step) {
    if (words[i] === 0xffffffff && words[i + step - 1] === 0xffffffff)
      throw new Violation(`${what}: element ${i / step} was never written`);
  }
}

function read(t: Tensor): Values {
  return { shape: [...t.shape], dtype: t.dtype, data: t.dataSync() };
}

function runCall({ name, args }: Call, make: Make): Values[] {
  const inputs: Tensor[] = [];
  const given = thawed(args, (argument) => {
    const t = make(argument);
    if (!inputs.includes(t)) inputs.push(t);
    return t;
  }) as unknown[];
  const run = (fluxion as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!;
  const result = run(...given);
  const values = tensorsOf(result).map(read);
  values.forEach((v, i) => requireWritten(v, `result ${i}`));
  if (typeof result === 'number') values.push({ shape: [], dtype: 'number', data: [result] });
  const differentiable = tensorsOf(result).find((t) => t.requiresGrad && t.node);
  if (!differentiable) return values;
  differentiable.backward(fluxion.onesLike(differentiable));
  for (const input of inputs) {
    if (!input.requiresGrad || !input.isLeaf || !input.grad) continue;
    if (String(input.grad.shape) !== String(input.shape))
      throw new Violation(`a gradient has shape [${input.grad.shape.join(', ')}]`);
    const gradient = read(input.grad);
    requireWritten(gradient, 'gradient');
    values.push(gradient);
  }
  return values;
}

/** What a fault of the queue would otherwise do to the next call that reads. */
function clearFaults(): void {
  for (let pending = true; pending;) {
    pending = false;
    const t = fluxion.tensor([1]);
    try {
      t.dataSync();
    } catch {
      pending = true;
    }
    t.dispose();
  }
}

/** The outcome of a call; a Violation where it is none that a call may have. */
export function attempt(call: Call, make: Make): Outcome {
  const before = memory().tensors;
  manualSeed(7);
  let outcome: Outcome;
  try {
    outcome = { values: tidy(() => runCall(call, make)) };
  } catch (error) {
    if (error instanceof Violation) throw error;
    if (!(error instanceof FluxionError)) {
      const { name, message, stack } = error as Error;
      const line = /\n *(at .*)/.exec(stack ?? '')?.[1] ?? '';
      throw new Violation(`${name}: ${message} ${line}`, { cause: error });
    }
    if (!EXPECTED.has(error.code)) throw new Violation(`${error.code}: ${error.message}`);
    if (/undefined \w+|\[object|NaN elements/.test(error.message))
      throw new Violation(`a message without sense: ${error.message}`);
    outcome = { code: error.code };
  }
  clearFaults();
  const left = memory().tensors - before;
  if (left !== 0) throw new Violation(`${left} tensors are left`);
  return outcome;
}

const FLOATING = /^(float|complex)/;

/** Tensors as the plan lays them out, with gradients where that is possible and wanted. */
export function viewsBy(plan: ViewPlan, withGradients: boolean): Make {
  return (argument) => prepared(argument, withGradients, viewOf(argument.content, plan));
}

/** The same values, contiguous. */
export function copiesBy(plan: ViewPlan, withGradients: boolean): Make {
  return (argument) =>
    prepared(argument, withGradients, contiguousOf(shownValues(argument.content, plan)));
}

/** As {@link copiesBy}, with other last bits. */
export function perturbedBy(plan: ViewPlan, withGradients: boolean, seed: number): Make {
  const random = randomStream(seed);
  return (argument) =>
    prepared(
      argument,
      withGradients,
      contiguousOf(moved(shownValues(argument.content, plan), random)),
    );
}

function prepared({ content }: TensorArgument, withGradients: boolean, t: Tensor): Tensor {
  if (!withGradients || !FLOATING.test(content.dtype)) return t;
  const leaf = t.detach();
  leaf.requiresGrad = true;
  return leaf;
}

export function setInstructionSet(name: string): void {
  native.setInstructionSet(name);
}
