import { FluxionError, requireArgument, show } from '../errors';
import { type DType, carriesGradients } from '../tensor/dtype';
import { type Handle, type OperandHandle, runMany, runOne } from '../tensor/handle';
import { opInfo, opNumber } from '../tensor/op-table';
import { gradEnabled } from '../tensor/scope';
import { Tensor, isForeignTensor, isTensor } from '../tensor/tensor';
import { vjp as vjpOf } from '../autograd/gradients';
import { Node, attach, edgeTo } from '../autograd/tape';

/** What an op takes as an operand: numbers take the dtype of the tensors beside them. */
export type TensorLike = Tensor | number;
export type Operand = Tensor | number | null;

/** What a vjp may use. Tensors that the rule did not ask to save are absent. */
export interface VjpContext<P> {
  readonly params: P;
  /** Cotangents of the outputs; null where nothing used that output. */
  readonly cotangents: readonly (Tensor | null)[];
  /** The cotangent of the first output. */
  readonly g: Tensor;
  /** Saved inputs by position. */
  readonly input: (i: number) => Tensor;
  /** Numbers and null are given back as they were. */
  readonly operand: (i: number) => Operand;
  /** Saved outputs by position. */
  readonly output: (i: number) => Tensor;
  /** How many inputs there were. */
  readonly inputCount: number;
  /** Whether input i wants a cotangent. */
  readonly needs: (i: number) => boolean;
  /** Shape and dtype of input i, saved or not; [] for a number. */
  readonly shape: (i: number) => readonly number[];
  readonly dtype: (i: number) => DType;
}

/** Positions of tensors to save, or how they follow from the parameters and the inputs that need gradients. */
export type Saved<P> =
  readonly number[] | ((params: P, needs: (i: number) => boolean) => readonly number[]);

/** How an op is differentiated. */
export interface Rule<P> {
  /** Inputs from this position on may be absent, which is null. Default: none may. */
  optionalFrom?: number;
  /** Inputs that the vjp reads. */
  saveInputs?: Saved<P>;
  /** Outputs that the vjp reads. */
  saveOutputs?: Saved<P>;
  /** Which outputs carry gradients; default the first. */
  differentiableOutputs?: readonly number[];
  /** Cotangents of the inputs, null where not needed. */
  vjp?: (context: VjpContext<P>) => (Tensor | null)[];
  /** Why there is none, for ops whose result is floating-point and still not differentiable. */
  reason?: string;
}

/** Ids given to defineOp, for the coverage test. */
export const definedOps = new Set<string>();

const publicNames = new Map<string, string>();

/** implicit_diffusion_2d -> implicitDiffusion2d: the public name of an op. */
export function publicName(id: string): string {
  let name = publicNames.get(id);
  if (name === undefined)
    publicNames.set(id, (name = id.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase())));
  return name;
}

function handleOf(op: string, operand: Operand, i: number, optionalFrom: number): OperandHandle {
  if (typeof operand === 'number' || (operand === null && i >= optionalFrom)) return operand;
  requireTensor(op, operand, `argument ${i}`);
  return operand.live(op);
}

function recordOp<P extends object | undefined>(
  id: string,
  rule: Rule<P>,
  inputs: readonly Operand[],
  params: P,
  outputs: readonly (Tensor | null)[],
): void {
  const edges = inputs.map((input) => (isTensor(input) ? edgeTo(input) : null));
  const results = (rule.differentiableOutputs ?? [0]).map((i) => outputs[i]);
  if (!results.some((t) => t && carriesGradients(t.dtype))) {
    for (const output of outputs) if (output) output.cut = publicName(id);
    return;
  }
  const savedAt = new Map<number, number>();
  const outputsAt = new Map<number, number>();
  const saved: Tensor[] = [];
  const positions = (given: Saved<P> = []) =>
    typeof given === 'function' ? given(params, (i) => edges[i] !== null) : given;
  for (const i of positions(rule.saveInputs)) {
    const input = inputs[i];
    if (isTensor(input)) savedAt.set(i, saved.push(input) - 1);
  }
  for (const i of positions(rule.saveOutputs)) outputsAt.set(i, saved.push(outputs[i]!) - 1);
  const numbers = inputs.map((input) => (typeof input === 'number' ? input : null));
  const shapes = inputs.map((input) => (isTensor(input) ? input.shape : []));
  const dtypes = inputs.map((input) => (isTensor(input) ? input.dtype : 'float32'));
  const { vjp } = rule;
  const node = new Node(
    publicName(id),
    edges,
    outputs.length,
    vjp
      ? (cotangents, restored) => {
          const input = (i: number) => restored[savedAt.get(i)!]!;
          return vjp({
            params,
            cotangents,
            g: cotangents[0]!,
            input,
            operand: (i) => (savedAt.has(i) ? input(i) : numbers[i]!),
            output: (i) => restored[outputsAt.get(i)!]!,
            inputCount: shapes.length,
            needs: (i) => edges[i] !== null,
            shape: (i) => shapes[i]!,
            dtype: (i) => dtypes[i]!,
          });
        }
      : null,
    vjp
      ? ''
      : (rule.reason ?? 'it has no derivative (derivatives of this order are not available)'),
  );
  const differentiable = new Set(results);
  attach(
    node,
    outputs.map((output) => (output && differentiable.has(output) ? output : null)),
  );
  node.save(saved);
}

function prepare(
  id: string,
  inputs: readonly Operand[],
  optionalFrom = Infinity,
): { handles: OperandHandle[]; record: boolean } {
  const op = publicName(id);
  let tracked = false;
  const handles: OperandHandle[] = [];
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!;
    handles.push(handleOf(op, input, i, optionalFrom));
    if (input !== null && typeof input !== 'number' && input.requiresGrad) tracked = true;
  }
  return { handles, record: tracked && gradEnabled() };
}

function inheritCut(inputs: readonly Operand[], outputs: readonly (Tensor | null)[]): void {
  for (const input of inputs) {
    if (input === null || typeof input === 'number' || input.cut === null) continue;
    for (const output of outputs) if (output) output.cut = input.cut;
    return;
  }
}

/** The number of an op that TypeScript defines. */
export function lookUp(id: string): number {
  definedOps.add(id);
  return opNumber(id);
}

/** Runs an op of one output. */
export type OpFunction<P extends object | undefined = undefined> = (
  inputs: readonly Operand[],
  params: P,
) => Tensor;

/** The function that runs op `id` (one output) and records it for backward. */
export function defineOp<P extends object | undefined = undefined>(
  id: string,
  rule: Rule<P>,
): OpFunction<P> {
  const op = lookUp(id);
  return (inputs, params) => {
    const { handles, record } = prepare(id, inputs, rule.optionalFrom);
    const output = new Tensor(runOne(op, handles, params));
    if (record) recordOp(id, rule, inputs, params, [output]);
    else inheritCut(inputs, [output]);
    return output;
  };
}

/** As {@link defineOp} for several outputs; `wanted` has a bit for each, the others are not computed. */
export function defineOpWithOutputs<P extends object | undefined = undefined>(
  id: string,
  rule: Rule<P>,
): (inputs: readonly Operand[], params: P, wanted?: number) => (Tensor | null)[] {
  const op = lookUp(id);
  const count = opInfo(op).outputs;
  return (inputs, params, wanted = (1 << count) - 1) => {
    const { handles, record } = prepare(id, inputs, rule.optionalFrom);
    const outputs = runMany(op, handles, params, count, wanted).map(
      (h: Handle | null) => h && new Tensor(h),
    );
    if (record) recordOp(id, rule, inputs, params, outputs);
    else inheritCut(inputs, outputs);
    return outputs;
  };
}

/** Throws unless a value is a tensor of this copy of the library. */
export function requireTensor(
  op: string,
  value: unknown,
  argument = 'input',
): asserts value is Tensor {
  if (isTensor(value)) return;
  throw new FluxionError(
    'FLUXION_INVALID_ARGUMENT',
    op,
    isForeignTensor(value)
      ? `${argument} is a tensor of another copy of fluxion`
      : `${argument} must be a tensor, got ${show(value)}`,
  );
}

/** As {@link requireTensor} for an operation along a dimension. */
export function requireDims(op: string, value: unknown): asserts value is Tensor {
  requireTensor(op, value);
  requireArgument(value.ndim > 0, op, 'input must have at least one dimension, got shape []');
}

/** Throws unless an option is of the type of its default, where that is a number or a boolean. */
function requireKind(op: string, key: string, value: unknown, byDefault: unknown): void {
  const kind = typeof byDefault;
  if (typeof value === kind || (kind !== 'number' && kind !== 'boolean')) return;
  const wanted = kind === 'number' ? 'a number' : 'true or false';
  requireArgument(false, op, `${key} must be ${wanted}, got ${show(value)}`);
}

/**
 * Merges options with defaults. An option that the operation does not have is an error, and one whose default is
 * a number or a boolean takes nothing else, unless it is named in `mixed`: then its operation looks at it.
 */
export function withDefaults<T extends object>(
  op: string,
  given: Partial<T> | undefined,
  defaults: T,
  mixed: readonly (keyof T & string)[] = [],
): T {
  if (given === undefined) return defaults;
  requireArgument(
    typeof given === 'object' && given !== null && !isTensor(given),
    op,
    () => `options must be an object, got ${show(given)}`,
  );
  const merged = { ...defaults } as Record<string, unknown>;
  for (const [key, value] of Object.entries(given)) {
    requireArgument(
      Object.hasOwn(defaults, key),
      op,
      () => `there is no option '${key}'; options are ${Object.keys(defaults).join(', ')}`,
    );
    if (value === undefined) continue;
    if (!(mixed as readonly string[]).includes(key)) requireKind(op, key, value, merged[key]);
    merged[key] = value;
  }
  return merged as T;
}

/** A list of numbers, for which one number may stand. */
export function listOf(
  op: string,
  argument: string,
  value: number | readonly number[],
): readonly number[] {
  const list: readonly unknown[] | undefined =
    typeof value === 'number' ? [value] : Array.isArray(value) ? value : undefined;
  requireArgument(
    list !== undefined && list.every((item) => typeof item === 'number'),
    op,
    () => `${argument} must be an integer or an array of integers, got ${show(value)}`,
  );
  return list;
}

/** A dimension counted from the front: -1 is the last of `ndim`. */
export function axisOf(op: string, dim: number, ndim: number, argument = 'dim'): number {
  requireArgument(
    Number.isInteger(dim) && dim >= -Math.max(ndim, 1) && dim < Math.max(ndim, 1),
    op,
    () =>
      `${argument} must be an integer in [${-Math.max(ndim, 1)}, ${Math.max(ndim, 1)}), got ${show(dim)}`,
  );
  return dim < 0 ? dim + Math.max(ndim, 1) : dim;
}

/**
 * Cotangents of the inputs by way of a composition of differentiable operations: what a fused adjoint gives
 * where it is itself to be differentiated (gradEnabled() in a vjp). Inputs that are null stay null.
 */
export function pullThrough(
  g: Tensor,
  inputs: readonly (Tensor | null)[],
  needs: (i: number) => boolean,
  compose: (...inputs: (Tensor | null)[]) => Tensor,
): (Tensor | null)[] {
  const at = inputs.flatMap((input, i) => (input && needs(i) ? [i] : []));
  const { pullback } = vjpOf(
    (...tracked: Tensor[]) => {
      const all = [...inputs];
      at.forEach((i, k) => (all[i] = tracked[k]!));
      return compose(...all);
    },
    ...at.map((i) => inputs[i]!),
  );
  const gradients = pullback(g);
  return inputs.map((_, i) => gradients[at.indexOf(i)] ?? null);
}
