import { FluxionError, requireArgument } from '../errors';
import { ownHandle } from '../tensor/assign';
import { type Handle, MAX_OPERANDS, runMany } from '../tensor/handle';
import { sameShape } from '../tensor/shape';
import { runRefreshed } from '../tensor/recording';
import type { Tensor } from '../tensor/tensor';
import { lookUp } from '../ops/define';

/** What an updating op takes for each parameter; see native/ops/optimizer.h. */
export type Item = readonly Tensor[];

/**
 * An op that gives new contents to some tensors of each item, those at the positions `updated`. Never
 * recorded by the tape. Takes any number of items: one native call for as many as the addon takes. `next`
 * gives the parameters of a step; a captured step asks it again for each replay.
 */
export function defineUpdate<P extends object>(
  id: string,
): (items: readonly Item[], updated: readonly number[], next: () => P) => void {
  const op = lookUp(id);
  return (items, updated, next) => {
    let params: P;
    const first = () => (params = next());
    for (const item of items) for (const position of updated) ownHandle(item[position]!);
    const perCall = items.length > 0 ? Math.floor(MAX_OPERANDS / items[0]!.length) : 1;
    for (let begin = 0; begin < items.length; begin += perCall) {
      const handles: Handle[] = [];
      const end = Math.min(items.length, begin + perCall);
      for (let i = begin; i < end; i++) for (const t of items[i]!) handles.push(t.live(id));
      runRefreshed(op, begin === 0 ? first : () => params, (p) => runMany(op, handles, p, 0, 0));
    }
  };
}

/** Throws unless a gradient, which anybody may have set, fits its parameter. */
export function checkGradient(op: string, parameter: Tensor, grad: Tensor): void {
  const { handle } = parameter;
  if (sameShape(grad.handle.shape, handle.shape) && grad.handle.dtype === handle.dtype) return;
  const is = ({ dtype, shape }: Tensor) => `${dtype} of shape [${shape.join(', ')}]`;
  throw new FluxionError(
    grad.dtype === parameter.dtype ? 'FLUXION_SHAPE_MISMATCH' : 'FLUXION_DTYPE_MISMATCH',
    op,
    `grad must be ${is(parameter)}, got ${is(grad)}`,
  );
}

/** Things by a number that they share, in the order of their first appearance. */
export function byNumber<T>(things: readonly T[], number: (thing: T) => number): Map<number, T[]> {
  const found = new Map<number, T[]>();
  for (const thing of things) {
    const key = number(thing);
    const list = found.get(key);
    if (list) list.push(thing);
    else found.set(key, [thing]);
  }
  return found;
}

export function requireFlag(op: string, name: string, value: unknown): void {
  requireArgument(
    typeof value === 'boolean',
    op,
    () => `${name} must be true or false, got ${String(value)}`,
  );
}
