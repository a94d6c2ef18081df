import { FluxionError } from '../errors';
import { type Handle, releaseHandle, retain } from '../tensor/handle';
import { type ScopedNode, currentScope } from '../tensor/scope';
import { Tensor, type TapeNode } from '../tensor/tensor';

/** Where a cotangent goes: to a leaf tensor or to an output of the operation that made the input. */
export type Edge =
  | { readonly leaf: Tensor; readonly node?: undefined }
  | { readonly node: Node; readonly output: number };

/**
 * Cotangents of the inputs from the cotangents of the outputs. null: no gradient for that input. The
 * cotangent of an output that nothing used is null.
 */
export type VjpFunction = (
  cotangents: readonly (Tensor | null)[],
  saved: readonly Tensor[],
) => (Tensor | null)[];

let counter = 0;

/** The order that the next recorded operation will get. */
export function nextOrder(): number {
  return counter;
}

/** One recorded operation: where its inputs came from, what it saved, and its vjp. */
export class Node implements TapeNode, ScopedNode {
  /** Grows with time: an operation has a larger number than all it depends on. */
  readonly order = counter++;
  /** Checkpoints only: computes the operation again and says where its cotangents go on. */
  recompute: ((cotangents: readonly (Tensor | null)[]) => { edge: Edge; value: Tensor }[]) | null =
    null;
  private saved: Handle[] | null = [];
  private savedOrigins: (SavedOrigin | null)[] = [];

  constructor(
    readonly op: string,
    readonly edges: readonly (Edge | null)[],
    readonly outputs: number,
    private vjp: VjpFunction | null,
    /** Why there is no vjp. */
    readonly reason: string = '',
  ) {
    currentScope()?.nodes.push(this);
  }

  /** Keeps tensors for the vjp. Outputs of this node must have been attached: they are connected to it. */
  save(tensors: readonly Tensor[]): void {
    this.saved = tensors.map((tensor) => retain(tensor.handle));
    this.savedOrigins = tensors.map(originOf);
  }

  /** Applies the vjp to the cotangents of the outputs. */
  pullBack(cotangents: readonly (Tensor | null)[]): (Tensor | null)[] {
    if (this.reason) {
      throw new FluxionError('FLUXION_NOT_DIFFERENTIABLE', this.op, this.reason);
    }
    if (!this.saved || !this.vjp) {
      throw new FluxionError(
        'FLUXION_DISPOSED',
        this.op,
        'the recorded computation was released by an earlier backward; pass { retainGraph: true } to that one',
      );
    }
    return this.vjp(cotangents, this.restoreSaved());
  }

  restoreSaved(): Tensor[] {
    return (this.saved ?? []).map((handle, i) => this.restore(handle, i));
  }

  /** A saved tensor as the vjp sees it: connected to its origin, so that vjps can be differentiated. */
  private restore(handle: Handle, i: number): Tensor {
    const tensor = new Tensor(retain(handle));
    const origin = this.savedOrigins[i];
    if (origin) {
      tensor.requiresGrad = true;
      tensor.node = origin.node ?? null;
      tensor.outputIndex = origin.output;
      if (origin.leaf) aliases.set(tensor, origin.leaf);
    }
    return tensor;
  }

  /** Releases what was saved; backward through this operation is impossible afterwards. */
  release(): void {
    this.saved?.forEach(releaseHandle);
    this.saved = null;
    this.vjp = null;
  }
}

interface SavedOrigin {
  readonly leaf: Tensor | null;
  readonly node: Node | null;
  readonly output: number;
}

// Aliases of leaves stand for the leaf itself.
const aliases = new WeakMap<Tensor, Tensor>();

function originOf(tensor: Tensor): SavedOrigin | null {
  if (!tensor.requiresGrad) return null;
  if (tensor.node) return { leaf: null, node: tensor.node as Node, output: tensor.outputIndex };
  return { leaf: aliases.get(tensor) ?? tensor, node: null, output: 0 };
}

/** Another tensor on the same memory, connected to the same origin. */
export function alias(tensor: Tensor): Tensor {
  const copy = new Tensor(retain(tensor.live('backward')));
  copy.node = tensor.node;
  copy.outputIndex = tensor.outputIndex;
  copy.requiresGrad = tensor.requiresGrad;
  const leaf = originOf(tensor)?.leaf;
  if (leaf) aliases.set(copy, leaf);
  return copy;
}

/** The edge to a tensor; null when no gradient flows to it. */
export function edgeTo(tensor: Tensor): Edge | null {
  const origin = originOf(tensor);
  if (!origin) return null;
  return origin.node ? { node: origin.node, output: origin.output } : { leaf: origin.leaf! };
}

/** Marks tensors as the outputs of a node. */
export function attach(node: Node, outputs: readonly (Tensor | null)[]): void {
  outputs.forEach((tensor, i) => {
    if (!tensor) return;
    tensor.node = node;
    tensor.outputIndex = i;
    tensor.requiresGrad = true;
  });
}
