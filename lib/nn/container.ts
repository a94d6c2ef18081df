import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { dropout } from '../ops/random';
import { flatten } from '../ops/shape';
import { activationOf } from './activation';
import { Module } from './module';
import { BatchNorm } from './normalization';

/** A module of one tensor to one tensor. */
export type Layer = Module & { forward(x: Tensor): Tensor };

/** Layers by number: their tensors are named `0.weight`, as in PyTorch. */
abstract class LayerList<M extends Module> extends Module {
  readonly layers: M[];

  constructor(op: string, layers: readonly M[]) {
    super();
    const list: boolean = Array.isArray(layers); // a plain boolean: the check would turn readonly M[] into any[]
    requireArgument(list, op, () => `layers must be an array of modules, got ${show(layers)}`);
    for (const [i, layer] of layers.entries()) {
      requireArgument(
        layer instanceof Module,
        op,
        () => `layers[${i}] must be a module, got ${show(layer)}`,
      );
    }
    this.layers = [...layers];
  }

  protected override *members(): Generator<[string, Module]> {
    for (const [i, layer] of this.layers.entries()) yield [String(i), layer];
  }

  get length(): number {
    return this.layers.length;
  }

  /** The layer at a place; negative places count from the back. */
  at(i: number): M | undefined {
    return this.layers.at(i);
  }

  append(layer: M): this {
    this.layers.push(layer);
    return this;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.layers.values();
  }
}

/** What a layer and the activation after it do in one pass; null where they do not. */
function fused(layer: Layer, next: Layer | undefined): ((x: Tensor) => Tensor) | null {
  if (!(layer instanceof BatchNorm) || !next) return null;
  // A layer whose forward was replaced, to look at what passes, is called by itself.
  if (Object.hasOwn(layer, 'forward') || Object.hasOwn(next, 'forward')) return null;
  const activation = activationOf(next);
  return activation && ((x) => layer.forward(x, activation));
}

/** Applies layers one after the other; a batch normalisation and the activation after it in one pass. */
export class Sequential extends LayerList<Layer> {
  constructor(...layers: Layer[]) {
    super('Sequential', layers);
  }

  forward(x: Tensor): Tensor {
    let value = x;
    for (let i = 0; i < this.layers.length; i++) {
      const both = fused(this.layers[i]!, this.layers[i + 1]);
      value = both ? both(value) : this.layers[i]!.forward(value);
      if (both) i++;
    }
    return value;
  }
}

/** Modules in a list, to be called one by one; an array as a property does the same. */
export class ModuleList<M extends Module = Layer> extends LayerList<M> {
  constructor(layers: readonly M[] = []) {
    super('ModuleList', layers);
  }

  /** There is no one way to apply a list: FLUXION_INVALID_ARGUMENT. */
  forward(): never {
    requireArgument(false, 'ModuleList', 'forward is not defined; call the modules of the list');
  }
}

/** Returns what it is given. */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}

export interface FlattenOptions {
  /** First dimension to merge. Default 1. */
  startDim?: number;
  /** Last dimension to merge. Default -1. */
  endDim?: number;
}

/** Merges dimensions: [N, ...] -> [N, product]. */
export class Flatten extends Module {
  private readonly settings: Required<FlattenOptions>;

  constructor(options?: FlattenOptions) {
    super();
    this.settings = withDefaults('Flatten', options, { startDim: 1, endDim: -1 });
  }

  forward(x: Tensor): Tensor {
    return flatten(x, this.settings);
  }
}

export interface DropoutOptions {
  /** Probability with which an element becomes 0. Default 0.5. */
  p?: number;
}

/** Sets each element to 0 with probability p while training, and scales the rest by 1 / (1 - p). */
export class Dropout extends Module {
  readonly p: number;

  constructor(options?: number | DropoutOptions) {
    super();
    const given = typeof options === 'number' ? { p: options } : options;
    this.p = withDefaults('Dropout', given, { p: 0.5 }).p;
    requireArgument(
      this.p >= 0 && this.p <= 1,
      'Dropout',
      () => `p must be in [0, 1], got ${show(this.p)}`,
    );
  }

  forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training });
  }
}
