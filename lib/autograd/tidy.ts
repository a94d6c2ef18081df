import { Context, collectorOf, currentContext, runInContext } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { isTensor } from '../tensor/tensor';
import type { Node } from './tape';

/** Calls visit for every tensor inside a value: arrays, objects, maps, sets, modules. */
export function tensorsIn(
  value: unknown,
  visit: (tensor: Tensor) => void,
  seen = new Set<unknown>(),
): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  if (isTensor(value)) {
    visit(value);
    if (value.grad) visit(value.grad);
  } else if (Array.isArray(value) || value instanceof Set) {
    for (const item of value) tensorsIn(item, visit, seen);
  } else if (value instanceof Map) {
    for (const item of value.values()) tensorsIn(item, visit, seen);
  } else if (!ArrayBuffer.isView(value)) {
    for (const item of Object.values(value)) tensorsIn(item, visit, seen);
  }
}

/** The nodes from which `roots` were computed. */
function ancestry(roots: Iterable<Tensor>): Set<Node> {
  const found = new Set<Node>();
  const pending: Node[] = [];
  const enter = (node: Node | null | undefined) => {
    if (!node || found.has(node)) return;
    found.add(node);
    pending.push(node);
  };
  for (const tensor of roots) enter(tensor.node as Node | null);
  for (let node = pending.pop(); node; node = pending.pop()) {
    for (const edge of node.edges) enter(edge?.node);
  }
  return found;
}

function endScope(context: Context, result: unknown): void {
  const escaping = new Set<Tensor>();
  tensorsIn(result, (tensor) => escaping.add(tensor));
  const scope = collectorOf(context.parent);
  const survivors: Tensor[] = [];
  for (const tensor of context.tensors as Tensor[]) {
    if (tensor.disposed) continue;
    if (tensor.kept) {
      survivors.push(tensor);
    } else if (escaping.has(tensor)) {
      survivors.push(tensor);
      scope?.tensors.push(tensor);
    } else {
      tensor.dispose();
    }
  }
  // What operations saved for a backward that can no longer be asked for goes too.
  const reachable = ancestry(survivors);
  for (const node of context.nodes as Node[]) {
    if (!reachable.has(node)) node.release();
    else scope?.nodes.push(node);
  }
}

/**
 * Runs a function and releases every tensor made in it, except those it returns (in arrays, objects and
 * modules too) and those given to {@link keep}. The function may be asynchronous: its scope follows it
 * through its awaits.
 *
 * @example const loss = tidy(() => mseLoss(model.forward(x), y));
 */
export function tidy<T>(fn: () => T): T {
  const outer = currentContext();
  const context = new Context(outer, true, outer?.gradEnabled ?? true);
  return runInContext(context, fn, (result) => endScope(context, result));
}

/** Takes a tensor out of all tidy scopes: only dispose() and the garbage collector release it. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.kept = true;
  return tensor;
}

/** Runs a function, synchronous or not, without recording operations for backward. */
export function noGrad<T>(fn: () => T): T {
  const context = new Context(currentContext(), false, false);
  return runInContext(context, fn, () => undefined);
}

/** Runs a function with recording switched on inside {@link noGrad}. */
export function enableGrad<T>(fn: () => T): T {
  const context = new Context(currentContext(), false, true);
  return runInContext(context, fn, () => undefined);
}
