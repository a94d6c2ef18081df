import { FluxionError, requireArgument, show } from '../errors';
import { assign, replaceHandle } from '../tensor/assign';
import { type DeviceName, isDeviceName, requireDevice } from '../tensor/device';
import { isFloating, type DType } from '../tensor/dtype';
import { sameShape } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { keep, noGrad, tidy } from '../autograd/tidy';
import { requireTensor, withDefaults } from '../ops/define';
import { cast } from '../ops/elementwise';
import { moved } from '../ops/shape-device';

/** Tensors by dotted name: `blocks.0.weight`. */
export type StateDict = Record<string, Tensor>;

/** Tensors that are parameters although they do not require gradients now. */
const parameters = new WeakSet<Tensor>();

/** Makes a tensor trainable and takes it out of tidy scopes. */
export function parameter(tensor: Tensor): Tensor {
  requireTensor('parameter', tensor);
  tensor.requiresGrad = true;
  parameters.add(tensor);
  return keep(tensor);
}

/** Names are compared in this form: PyTorch's running_mean finds runningMean. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
}

/** PyTorch's batch norms count their batches in an int64 buffer, which nothing here reads. */
const COUNTER = /(^|\.)num_batches_tracked$/;

export interface LoadStateOptions {
  /** Whether a missing name and one that is not known are errors. Default true. */
  strict?: boolean;
}

function isParameter(tensor: Tensor): boolean {
  return tensor.requiresGrad || parameters.has(tensor);
}

/**
 * A part of a network: tensors it owns and a function of its inputs.
 *
 * Children, parameters and buffers are found by property: a Module (or an array of them) is a child, a
 * tensor with requiresGrad (or made by `parameter`) a parameter, any other tensor a buffer (running
 * statistics). Their names are the paths of the properties.
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

  /** Tensors and modules among the own properties, arrays opened, with their names in the state. */
  protected *members(): Generator<[string, Tensor | Module]> {
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

  /** Direct children. */
  *children(): Generator<Module> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** This module and all below it with the paths to them, each once; '' is this module. */
  *namedModules(prefix = '', seen = new Set<Module>()): Generator<[string, Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, child] of this.namedChildren()) {
      yield* child.namedModules(prefix ? `${prefix}.${name}` : name, seen);
    }
  }

  /** This module and all below it. */
  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** Calls a function with every module below this one and then with this one, as initialisers want. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn);
    fn(this);
    return this;
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

  /** Parameters, frozen ones too, with their names. */
  *namedParameters(): Generator<[string, Tensor]> {
    for (const entry of this.namedTensors()) if (isParameter(entry[1])) yield entry;
  }

  /** Tensors that are no parameters, with their names. */
  *namedBuffers(): Generator<[string, Tensor]> {
    for (const entry of this.namedTensors()) if (!isParameter(entry[1])) yield entry;
  }

  /** Parameters, frozen ones too; optimizers leave those without a gradient alone. */
  parameters(): Tensor[] {
    return [...this.namedParameters()].map(([, tensor]) => tensor);
  }

  /** Number of trainable values: those of frozen parameters do not count. */
  parameterCount(): number {
    return this.parameters().reduce((sum, p) => sum + (p.requiresGrad ? p.size : 0), 0);
  }

  /** Stops gradients of all parameters: PyTorch's requires_grad_(False). */
  freeze(): this {
    for (const p of this.parameters()) {
      parameters.add(p);
      p.requiresGrad = false;
    }
    return this;
  }

  /** Takes gradients of all parameters again. */
  unfreeze(): this {
    for (const p of this.parameters()) p.requiresGrad = true;
    return this;
  }

  /** Parameters and buffers by name; the tensors themselves, not copies. */
  stateDict(): StateDict {
    return Object.fromEntries(this.namedTensors());
  }

  /**
   * Copies values into the parameters and buffers, converted to their dtypes. Every name must be there with
   * its shape, and no other, else nothing is changed; with `strict: false` only the shapes must agree.
   *
   * A state dict of PyTorch loads into the same network: its snake_case stands for camelCase, and its
   * counters `num_batches_tracked` are passed over. Returns the names that were missing or not known.
   */
  loadStateDict(
    state: StateDict,
    options?: LoadStateOptions,
  ): { missing: string[]; unexpected: string[] } {
    const { strict } = withDefaults<Required<LoadStateOptions>>('loadStateDict', options, {
      strict: true,
    });
    const own = this.stateDict();
    const given = Object.keys(state).filter((name) => !COUNTER.test(name));
    const byForm = new Map(given.map((name) => [snakeCase(name), name]));
    const sources = new Map<string, Tensor>();
    for (const name of Object.keys(own)) {
      const source = name in state ? name : byForm.get(snakeCase(name));
      if (source !== undefined) sources.set(name, state[source]!);
    }
    const forms = new Set(Object.keys(own).map(snakeCase));
    const missing = Object.keys(own).filter((name) => !sources.has(name));
    const unexpected = given.filter((name) => !forms.has(snakeCase(name)));
    if (strict && (missing.length > 0 || unexpected.length > 0)) {
      throw new FluxionError(
        'FLUXION_INVALID_ARGUMENT',
        'loadStateDict',
        `names must match the module; missing ${show(missing)}, not known ${show(unexpected)}`,
      );
    }
    for (const [name, source] of sources) {
      const tensor = own[name]!;
      if (!sameShape(source.shape, tensor.shape)) {
        throw new FluxionError(
          'FLUXION_SHAPE_MISMATCH',
          'loadStateDict',
          `${name} must have shape ${show([...tensor.shape])}, got ${show([...source.shape])}`,
        );
      }
    }
    noGrad(() =>
      tidy(() => {
        for (const [name, source] of sources) {
          const tensor = own[name]!;
          const converted = cast(source, tensor.dtype);
          const { device } = tensor.live('loadStateDict');
          assign(tensor, moved(converted, device));
        }
      }),
    );
    return { missing, unexpected };
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
   * Converts parameters and floating-point buffers to another dtype, or moves parameters and all buffers to a
   * device, in place; gradients that are there go along. An optimizer that has made steps keeps its state
   * where it was: move the model before.
   *
   * Errors: FLUXION_INVALID_ARGUMENT unless it is float32, float64 or a device; FLUXION_UNSUPPORTED, with the
   * reason, for a device that cannot be used.
   */
  to(target: DType | DeviceName): this {
    const dtype = target === 'float32' || target === 'float64' ? target : null;
    requireArgument(
      dtype !== null || isDeviceName(target),
      'Module.to',
      () => `target must be float32, float64 or a device, got ${show(target)}`,
    );
    const device = dtype === null ? requireDevice('Module.to', target) : 0;
    const converted = (tensor: Tensor): Tensor =>
      dtype === null
        ? moved(tensor, device)
        : isFloating(tensor.dtype)
          ? cast(tensor, dtype)
          : tensor;
    noGrad(() =>
      tidy(() => {
        for (const [, tensor] of this.namedTensors()) {
          for (const own of tensor.grad ? [tensor, tensor.grad] : [tensor]) {
            const result = converted(own);
            if (result !== own) replaceHandle(own, result.handle);
          }
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
