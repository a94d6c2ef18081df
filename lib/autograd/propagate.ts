import { FluxionError } from '../errors';
import { Context, collectorOf, currentContext, runInContext } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { accumulate } from './accumulate';
import { type Edge, type Node, alias } from './tape';

export interface PropagateOptions {
  /** Keep what the operations saved, so that backward can run again. */
  retainGraph: boolean;
  /** Record the backward computation itself, so that it can be differentiated. */
  createGraph: boolean;
  /** Operations recorded before this one are not entered. */
  since: number;
  /** Intermediate results whose cotangents are wanted too. */
  targets?: readonly (Edge | null)[];
}

export interface Cotangents {
  /** By leaf tensor. */
  leaves: Map<Tensor, Tensor>;
  /** Of options.targets, by position. */
  targets: (Tensor | null)[];
}

/** Nodes that have received a cotangent, the youngest first: a binary heap by order. */
class Worklist {
  private readonly heap: Node[] = [];
  private readonly cotangents = new Map<Node, (Tensor | null)[]>();

  add(node: Node, output: number, cotangent: Tensor): void {
    let slots = this.cotangents.get(node);
    if (!slots) {
      slots = new Array<Tensor | null>(node.outputs).fill(null);
      this.cotangents.set(node, slots);
      this.push(node);
    }
    slots[output] = merge(slots[output] ?? null, cotangent);
  }

  take(): { node: Node; cotangents: (Tensor | null)[] } | null {
    const node = this.pop();
    if (!node) return null;
    const cotangents = this.cotangents.get(node)!;
    this.cotangents.delete(node);
    return { node, cotangents };
  }

  private push(node: Node): void {
    const { heap } = this;
    let i = heap.push(node) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]!.order >= node.order) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = node;
  }

  private pop(): Node | null {
    const { heap } = this;
    const top = heap[0];
    if (!top) return null;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.order > heap[child]!.order) child++;
      if (heap[child]!.order <= last.order) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

/** Adds a cotangent to a slot; both belong to the slot afterwards. */
function merge(present: Tensor | null, incoming: Tensor): Tensor {
  if (!present) return incoming;
  const sum = accumulate(present, incoming);
  present.dispose();
  incoming.dispose();
  return sum;
}

/**
 * Sends a cotangent from `root` back through the recorded computation.
 *
 * Operations are visited from the youngest to the oldest, each once, after all cotangents of its outputs
 * have arrived. Every cotangent is owned by one slot and released as soon as it has been used, so that the
 * memory of a backward pass peaks like that of a forward pass.
 */
export function propagate(
  root: Edge | null,
  cotangent: Tensor,
  options: PropagateOptions,
): Cotangents {
  const outer = currentContext();
  const context = new Context(outer, true, options.createGraph);
  const result: Cotangents = {
    leaves: new Map(),
    targets: (options.targets ?? []).map(() => null),
  };
  const survivors = new Set<Tensor>();
  runInContext(
    context,
    () => {
      visit(root, cotangent, options, result);
      for (const tensor of result.leaves.values()) survivors.add(tensor);
      for (const tensor of result.targets) if (tensor) survivors.add(tensor);
    },
    () => {
      const scope = collectorOf(outer);
      for (const tensor of context.tensors as Tensor[]) {
        if (survivors.has(tensor)) scope?.tensors.push(tensor);
        else if (!tensor.kept) tensor.dispose();
      }
      scope?.nodes.push(...context.nodes);
    },
  );
  return result;
}

function visit(
  root: Edge | null,
  cotangent: Tensor,
  options: PropagateOptions,
  result: Cotangents,
): void {
  const worklist = new Worklist();
  const send = (edge: Edge, value: Tensor): void => {
    if (edge.node) {
      if (edge.node.order >= options.since) worklist.add(edge.node, edge.output, value);
      else value.dispose();
    } else {
      result.leaves.set(edge.leaf, merge(result.leaves.get(edge.leaf) ?? null, value));
    }
  };
  const targets = options.targets ?? [];
  if (root) send(root, alias(cotangent));
  for (let entry = worklist.take(); entry; entry = worklist.take()) {
    const { node, cotangents } = entry;
    targets.forEach((target, i) => {
      if (target?.node !== node) return;
      const value = cotangents[target.output];
      if (value) result.targets[i] = alias(value);
    });
    step(node, cotangents, send);
    for (const value of cotangents) value?.dispose();
    if (!options.retainGraph && !options.createGraph) node.release();
  }
}

/** Pulls the cotangents back through one node and sends the results on. */
function step(
  node: Node,
  cotangents: (Tensor | null)[],
  send: (edge: Edge, value: Tensor) => void,
): void {
  const inner = new Context(currentContext(), true, currentContext()!.gradEnabled);
  const sent: { edge: Edge; value: Tensor }[] = [];
  runInContext(
    inner,
    () => {
      const taken = new Set<Tensor | null>(cotangents);
      const values = node.pullBack(cotangents);
      values.forEach((value, i) => {
        const edge = node.edges[i];
        if (!value || !edge) return;
        // Each slot owns its tensor: one that is used twice, or is the cotangent itself, is aliased.
        const own = taken.has(value) ? alias(value) : value;
        taken.add(own);
        sent.push({ edge, value: own });
      });
      const continued = node.recompute?.(cotangents);
      if (continued)
        sent.push(...continued.map(({ edge, value }) => ({ edge, value: alias(value) })));
    },
    () => {
      const keep = new Set<unknown>(sent.map(({ value }) => value));
      const scope = inner.parent!;
      for (const tensor of inner.tensors) {
        if (keep.has(tensor)) scope.tensors.push(tensor);
        else if (!tensor.kept) tensor.dispose();
      }
      scope.nodes.push(...inner.nodes);
    },
  );
  for (const { edge, value } of sent) send(edge, value);
}

/** Checks the cotangent of a root, or makes the default one: 1 for a tensor of one element. */
export function requireDifferentiable(op: string, root: Tensor): void {
  if (root.requiresGrad) return;
  const why = root.cut
    ? `${root.cut}, on the way to it, has no derivative`
    : 'no tensor with requiresGrad leads to it';
  throw new FluxionError('FLUXION_NOT_DIFFERENTIABLE', op, `the result has no gradient: ${why}`);
}
