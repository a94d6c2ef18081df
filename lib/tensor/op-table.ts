import { type NativeOp, native } from '../native';
import { FluxionError } from '../errors';

const numbers = new Map(native.ops.map((op, i) => [op.name, i]));

/** Number of an op in the addon's list. */
export function opNumber(id: string): number {
  const number = numbers.get(id);
  if (number === undefined) {
    throw new FluxionError('FLUXION_INTERNAL', id, 'the addon has no such op; build it again');
  }
  return number;
}

/** What the addon says of an op. */
export function opInfo(number: number): NativeOp {
  return native.ops[number]!;
}
