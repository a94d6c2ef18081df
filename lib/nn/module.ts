import { FluxionError, requireArgument, show } from '../errors';
import { assign, replaceHandle } from '../tensor/assign';
import { isFloating, type DType } from '../tensor/dtype';
import { type Tensor, isTensor } from '../tensor/tensor';
import { keep, noGrad, tidy } from '../autograd/tidy';
import { cast } from '../ops/elementwise';

/** Tensors by dotted name: `blocks.0.weight`. */
export type StateDict = Record<string, Tensor>;

/** Makes a tensor trainable and takes it out of tidy scopes. */
export function parameter(tensor: Tensor): Tensor {
  tensor.requiresGrad = true;
  return keep(tensor);
}

/**
 * A part of a network: tensors it owns and a function of its inputs.
 *
 * Children, parameters and buffers are found by property: a Module (or an array of them) is a child, a
 * tensor with requiresGrad a parameter, any other tensor a buffer (running statistics). Their names are
 * the paths of the properties.
 *
 * @example
 * class Block extends nn.Module {
 *   conv = new nn.Conv2d(16, 16, 3, { padding: 1 });
 *   diffusion = new nn.Diffusion2d(16, { dt: 0.5 });
 *   forward(x: Tensor) { return this.diffusion.forward(x.add(this.conv.forward(x).relu())); }
 * }
 */
export abstract class Module {
  /** Whether dropout and batch statistics are active; set by train() and eval(). */
  training = true;

  abstract forward(...inputs: never[]): unknown;

  /** Tensors and modules among the own properties, arrays opened. */
  private *members(): Generator<[string, Tensor | Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (isTensor(value) || value instanceof Module) yield [name, value];
      if (!Array.isArray(value)) continue;
      for (const [i, item] of value.entries()) {
        if (isTensor(item) || item instanceof Module) yield [`${name}.${i}`, item];
      }
    }
  }

  /** Direct children with their names. */
  *namedChildren(): Generator<[string, Module]> {
    for (const [name, member] of this.members()) if (member instanceof Module) yield [name, member];
  }

  /** This module and all below it. */
  *modules(): Generator<Module> {
    yield this;
    for (const [, child] of this.namedChildren()) yield* child.modules();
  }

  private *namedTensors(prefix = '', seen = new Set<Tensor>()): Generator<[string, Tensor]> {
    for (const [name, member] of this.members()) {
      if (member instanceof Module) {
        yield* member.namedTensors(`${prefix}${name}.`, seen);
      } else if (!seen.has(member)) {
        seen.add(member); // tied weights appear once, under their first name
        yield [prefix + name, member];
      }
    }
  }

  *namedParameters(): Generator<[string, Tensor]> {
    for (const entry of this.namedTensors()) if (entry[1].requiresGrad) yield entry;
  }

  *namedBuffers(): Generator<[string, Tensor]> {
    for (const entry of this.namedTensors()) if (!entry[1].requiresGrad) yield entry;
  }

  parameters(): Tensor[] {
    return [...this.namedParameters()].map(([, tensor]) => tensor);
  }

  /** Number of trainable values. */
  parameterCount(): number {
    return this.parameters().reduce((sum, p) => sum + p.size, 0);
  }

  /** Parameters and buffers by name; the tensors themselves, not copies. */
  stateDict(): StateDict {
    return Object.fromEntries(this.namedTensors());
  }

  /**
   * Copies values into the parameters and buffers. Every name must be there with its shape, and no other,
   * else nothing is changed.
   */
  loadStateDict(state: StateDict): void {
    const own = this.stateDict();
    const missing = Object.keys(own).filter((name) => !(name in state));
    const extra = Object.keys(state).filter((name) => !(name in own));
    if (missing.length > 0 || extra.length > 0) {
      throw new FluxionError(
        'FLUXION_INVALID_ARGUMENT',
        'loadStateDict',
        `names must match the module; missing ${show(missing)}, not known ${show(extra)}`,
      );
    }
    for (const [name, tensor] of Object.entries(own)) {
      const given = state[name]!;
      if (given.ndim !== tensor.ndim || given.shape.some((n, i) => n !== tensor.shape[i])) {
        throw new FluxionError(
          'FLUXION_SHAPE_MISMATCH',
          'loadStateDict',
          `${name} must have shape ${show([...tensor.shape])}, got ${show([...given.shape])}`,
        );
      }
    }
    noGrad(() =>
      tidy(() => {
        for (const [name, tensor] of Object.entries(own))
          assign(tensor, cast(state[name]!, tensor.dtype));
      }),
    );
  }

  /** Switches dropout and batch statistics on (or, with false, off) here and below. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Switches to inference: train(false). */
  eval(): this {
    return this.train(false);
  }

  /**
   * Converts parameters and floating-point buffers to another dtype, in place.
   *
   * Errors: FLUXION_INVALID_ARGUMENT unless it is float32 or float64.
   */
  to(dtype: DType): this {
    requireArgument(
      isFloating(dtype),
      'Module.to',
      () => `dtype must be float32 or float64, got ${show(dtype)}`,
    );
    noGrad(() =>
      tidy(() => {
        for (const [, tensor] of this.namedTensors()) {
          if (isFloating(tensor.dtype)) replaceHandle(tensor, cast(tensor, dtype).handle);
        }
      }),
    );
    return this;
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    for (const p of this.parameters()) {
      p.grad?.dispose();
      p.grad = null;
    }
  }

  /** Releases all parameters and buffers. */
  dispose(): void {
    for (const [, tensor] of this.namedTensors()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
