import { FluxionError, requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import { isFloating, newTypedArray } from '../tensor/dtype';
import { retain, upload } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { keep, noGrad, tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';

/** Options that every optimizer has. */
export interface CommonOptions {
  learningRate: number;
  /** Adam's; schedulers may move the first. */
  betas?: readonly [number, number];
  /** SGD's; schedulers may move it. */
  momentum?: number;
}

/** Parameters with options of their own; what is absent comes from the optimizer. */
export type ParameterGroup<O extends object> = { params: Iterable<Tensor> } & Partial<O>;
export type Parameters<O extends object> = Iterable<Tensor> | readonly ParameterGroup<O>[];

/** What an optimizer remembers of one parameter: moments, and the number of its steps. */
export type ParameterState = Record<string, Tensor | number>;

/** State of an optimizer: parameters are named by their position. */
export interface OptimizerState<O extends object = object> {
  groups: (O & { params: number[] })[];
  state: Record<string, ParameterState>;
}

export type Group<O extends object> = O & { readonly params: readonly Tensor[] };

function checkParameter(op: string, parameter: unknown): asserts parameter is Tensor {
  requireArgument(
    isTensor(parameter) && parameter.isLeaf && isFloating(parameter.dtype),
    op,
    () =>
      `parameters must be floating-point tensors that no operation made, got ${show(parameter)}`,
  );
}

/**
 * Changes parameters along their gradients. A step replaces the memory of each parameter in one pass over
 * it; the parameter stays the same object. Parameters without a gradient are left alone.
 */
export abstract class Optimizer<O extends CommonOptions = CommonOptions> {
  readonly groups: Group<O>[];
  protected readonly state = new Map<Tensor, ParameterState>();

  protected constructor(
    protected readonly op: string,
    parameters: Parameters<O>,
    options: Partial<O> | undefined,
    defaults: O,
  ) {
    const common = withDefaults(op, options, defaults);
    requireArgument(
      typeof (parameters as Iterable<unknown> | undefined)?.[Symbol.iterator] === 'function',
      op,
      () => `parameters must be a list of tensors or of groups, got ${show(parameters)}`,
    );
    const list: unknown[] = [...parameters];
    requireArgument(list.length > 0, op, 'there must be at least one parameter, got none');
    const given = isTensor(list[0]) ? [{ params: list }] : list;
    this.groups = given.map((group) => this.makeGroup(group as ParameterGroup<O>, common));
    const all = this.parameters();
    requireArgument(new Set(all).size === all.length, op, 'a parameter must appear once');
  }

  /** Throws unless the options of a group are usable. */
  protected abstract check(options: O): void;

  /** New contents of one parameter, its state updated. */
  protected abstract update(
    parameter: Tensor,
    grad: Tensor,
    options: O,
    state: ParameterState,
  ): Tensor;

  /** The learning rate of the first group; setting it sets that of all. */
  get learningRate(): number {
    return this.groups[0]!.learningRate;
  }

  set learningRate(value: number) {
    requireRate(this.op, 'learningRate', value);
    for (const group of this.groups) group.learningRate = value;
  }

  parameters(): Tensor[] {
    return this.groups.flatMap((group) => [...group.params]);
  }

  /** Releases and forgets the gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /** Updates every parameter that has a gradient. Leaves nothing behind but the parameters and the state. */
  step(): void {
    noGrad(() =>
      tidy(() => {
        for (const group of this.groups) {
          this.check(group);
          for (const parameter of group.params) {
            if (!parameter.grad) continue;
            const fresh = this.update(parameter, parameter.grad, group, this.stateOf(parameter));
            assign(parameter, fresh);
            fresh.dispose();
          }
        }
      }),
    );
  }

  /** Options and moments; the tensors are the optimizer's own, not copies. */
  stateDict(): OptimizerState<O> {
    const all = this.parameters();
    const position = new Map(all.map((parameter, i) => [parameter, i]));
    const groups = this.groups.map((group) => ({
      ...group,
      params: group.params.map((parameter) => position.get(parameter)!),
    }));
    const state: Record<string, ParameterState> = {};
    for (const [parameter, entry] of this.state) state[position.get(parameter)!] = { ...entry };
    return { groups, state };
  }

  /**
   * Takes over options and moments, copied, from {@link stateDict} of an optimizer of the same kind over
   * parameters of the same shapes. On an error nothing is changed.
   */
  loadStateDict(given: OptimizerState<O>): void {
    const all = this.parameters();
    const sizes = (groups: readonly { params: readonly unknown[] }[]) =>
      groups.map((group) => group.params.length).join(', ');
    requireArgument(
      sizes(given.groups) === sizes(this.groups),
      this.op,
      () => `groups must have [${sizes(this.groups)}] parameters, got [${sizes(given.groups)}]`,
    );
    for (const [i, entry] of Object.entries(given.state)) this.checkState(all[Number(i)], i, entry);
    const options = given.groups.map(({ params: _, ...rest }) => rest as unknown as O);
    options.forEach((entry) => this.check(entry));
    options.forEach((entry, i) => Object.assign(this.groups[i]!, entry));
    const copies = Object.entries(given.state).map(([i, entry]) => [i, copyState(entry)] as const);
    this.dispose();
    for (const [i, entry] of copies) this.state.set(all[Number(i)]!, entry);
  }

  /** Releases the moments; the parameters stay. A later step begins anew. */
  dispose(): void {
    for (const entry of this.state.values()) {
      for (const value of Object.values(entry)) if (isTensor(value)) value.dispose();
    }
    this.state.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private makeGroup(given: ParameterGroup<O>, common: O): Group<O> {
    requireArgument(
      typeof (given?.params as Iterable<unknown> | undefined)?.[Symbol.iterator] === 'function',
      this.op,
      () => `a group must be { params: list of tensors, ...options }, got ${show(given)}`,
    );
    const { params, ...own } = given;
    const list = [...params];
    for (const parameter of list) checkParameter(this.op, parameter);
    const options = { ...withDefaults(this.op, own as unknown as Partial<O>, common) };
    this.check(options);
    return { ...options, params: list };
  }

  private stateOf(parameter: Tensor): ParameterState {
    let entry = this.state.get(parameter);
    if (!entry) this.state.set(parameter, (entry = { step: 0 }));
    return entry;
  }

  private checkState(parameter: Tensor | undefined, i: string, entry: ParameterState): void {
    for (const [name, value] of Object.entries(entry)) {
      const fits =
        parameter &&
        (typeof value === 'number' ||
          (isTensor(value) &&
            value.dtype === parameter.dtype &&
            value.shape.join() === parameter.shape.join()));
      if (fits) continue;
      const wanted = parameter
        ? `${parameter.dtype} of shape [${parameter.shape.join(', ')}]`
        : 'absent';
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        this.op,
        `${name} of parameter ${i} must be ${wanted}, got ${String(value)}`,
      );
    }
  }
}

/** Own tensors on the same memory: a later step gives one of them other memory, and not the other. */
function copyState(entry: ParameterState): ParameterState {
  const copies = Object.entries(entry).map(([name, value]): [string, Tensor | number] => [
    name,
    isTensor(value) ? keep(new Tensor(retain(value.live('loadStateDict')))) : value,
  ]);
  return Object.fromEntries(copies);
}

/** A tensor of zeros that no scope releases. */
export function zerosLike(tensor: Tensor): Tensor {
  const values = newTypedArray(tensor.dtype, tensor.size);
  return keep(new Tensor(upload(values, tensor.dtype, tensor.shape)));
}

export function requireRate(op: string, name: string, value: number): void {
  requireArgument(
    Number.isFinite(value) && value >= 0,
    op,
    () => `${name} must be a number >= 0, got ${show(value)}`,
  );
}
