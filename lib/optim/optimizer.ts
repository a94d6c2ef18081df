import { FluxionError, requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import { isFloating } from '../tensor/dtype';
import { type Handle, retain, transfer } from '../tensor/handle';
import { Tensor, isTensor } from '../tensor/tensor';
import { keep, noGrad, tidy } from '../autograd/tidy';
import { zeros } from '../ops/creation';
import { withDefaults } from '../ops/define';
import type { Projection } from './projection';
import { checkGradient } from './update';

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

/** A parameter whose turn it is, with its gradient and what is remembered of it. */
export interface Pending {
  parameter: Tensor;
  grad: Tensor;
  state: ParameterState;
}

function checkParameter(op: string, parameter: unknown): asserts parameter is Tensor {
  requireArgument(
    isTensor(parameter) && parameter.isLeaf && isFloating(parameter.dtype),
    op,
    () =>
      `parameters must be floating-point tensors that no operation made, got ${show(parameter)}`,
  );
}

/**
 * Changes parameters along their gradients, all parameters of a group in one pass. A parameter stays the same
 * object; its memory is overwritten where nothing else sees it (no view, no copy, no pending backward), else
 * it gets new memory and the others keep the old contents. Parameters without a gradient are left alone.
 */
export abstract class Optimizer<O extends CommonOptions = CommonOptions> {
  readonly groups: Group<O>[];
  protected readonly state = new Map<Tensor, ParameterState>();
  private readonly common: O;
  private readonly projections: { params: readonly Tensor[]; project: Projection }[] = [];

  protected constructor(
    protected readonly op: string,
    parameters: Parameters<O>,
    options: Partial<O> | undefined,
    defaults: O,
  ) {
    const common = withDefaults(op, options, defaults);
    this.common = common;
    requireArgument(
      typeof (parameters as Iterable<unknown> | undefined)?.[Symbol.iterator] === 'function',
      op,
      () => `parameters must be a list of tensors or of groups, got ${show(parameters)}`,
    );
    const list: unknown[] = [...parameters];
    requireArgument(list.length > 0, op, 'there must be at least one parameter, got none');
    const given = isTensor(list[0]) ? [{ params: list }] : list;
    this.groups = [];
    for (const group of given) this.addParameterGroup(group as ParameterGroup<O>);
  }

  /** Throws unless the options of a group are usable. */
  protected abstract check(options: O): void;

  /** Gives the parameters of a group and their states new contents. */
  protected abstract update(pending: readonly Pending[], options: O): void;

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

  /**
   * Adds parameters: { params, ...options }; options that are absent are those the optimizer was made with.
   * Schedulers of the optimizer follow the new group from its learning rate on.
   */
  addParameterGroup(group: ParameterGroup<O>): void {
    const made = this.makeGroup(group, this.common);
    const all = [...this.parameters(), ...made.params];
    requireArgument(new Set(all).size === all.length, this.op, 'a parameter must appear once');
    this.groups.push(made);
  }

  /**
   * Has a projection applied to parameters after each step, so that they stay where a scheme is stable or a
   * coefficient has a meaning. Several projections of one parameter follow each other as they were added.
   *
   * @example optimizer.project(model.diffusion.diffusivity, nonNegative());
   */
  project(parameters: Tensor | Iterable<Tensor>, projection: Projection): void {
    const params = isTensor(parameters) ? [parameters] : [...parameters];
    const own = new Set(this.parameters());
    requireArgument(
      params.length > 0 && params.every((parameter) => own.has(parameter)),
      'project',
      'parameters must be some of the optimizer',
    );
    requireArgument(
      typeof projection === 'function',
      'project',
      () => `projection must be a function from tensor to tensor, got ${show(projection)}`,
    );
    this.projections.push({ params, project: projection });
  }

  /**
   * Updates every parameter that has a gradient, then applies the projections. Leaves nothing behind but the
   * parameters and the state.
   */
  step(): void {
    noGrad(() =>
      tidy(() => {
        for (const group of this.groups) {
          this.check(group);
          const pending = group.params.flatMap((parameter) => {
            const { grad } = parameter;
            if (!grad) return [];
            checkGradient(this.op, parameter, grad);
            return [{ parameter, grad, state: this.stateOf(parameter) }];
          });
          if (pending.length > 0) this.update(pending, group);
        }
        this.applyProjections();
      }),
    );
  }

  /** To be called without recording and in a scope of its own. */
  protected applyProjections(): void {
    for (const { params, project } of this.projections) {
      for (const parameter of params) {
        const projected = project(parameter);
        if (projected !== parameter) assign(parameter, projected);
      }
    }
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
    options.forEach((entry, i) => this.check({ ...this.groups[i]!, ...entry }));
    options.forEach((entry, i) => Object.assign(this.groups[i]!, entry));
    const copies = Object.entries(given.state).map(
      ([i, entry]) => [i, copyState(entry, all[Number(i)]!)] as const,
    );
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

  protected stateOf(parameter: Tensor): ParameterState {
    let entry = this.state.get(parameter);
    if (!entry) this.state.set(parameter, (entry = { step: 0 }));
    return entry;
  }

  protected checkState(parameter: Tensor | undefined, i: string, entry: ParameterState): void {
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

/**
 * Own tensors on the parameter's device, on the same memory where it is there: a later step gives one of them
 * other memory, and not the other.
 */
function copyState(entry: ParameterState, parameter: Tensor): ParameterState {
  const { device } = parameter.live('loadStateDict');
  const own = (handle: Handle) =>
    keep(new Tensor(handle.device === device ? retain(handle) : transfer(handle, device)));
  const copies = Object.entries(entry).map(([name, value]): [string, Tensor | number] => [
    name,
    isTensor(value) ? own(value.live('loadStateDict')) : value,
  ]);
  return Object.fromEntries(copies);
}

/** A tensor of zeros that no scope releases. */
export function zerosLike({ shape, dtype, device }: Tensor): Tensor {
  return keep(zeros(shape, { dtype, device }));
}

export function requireRate(op: string, name: string, value: number): void {
  requireArgument(
    Number.isFinite(value) && value >= 0,
    op,
    () => `${name} must be a number >= 0, got ${show(value)}`,
  );
}
