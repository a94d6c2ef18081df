import { runOne } from '../tensor/handle';
import { opNumber } from '../tensor/op-table';
import { Tensor } from '../tensor/tensor';
import { gradEnabled } from '../tensor/scope';
import { Node, attach, edgeTo } from './tape';

const ADD = opNumber('add');

/** a + b for two cotangents of one shape and dtype; differentiable when gradients are being recorded. */
export function accumulate(a: Tensor, b: Tensor): Tensor {
  const sum = new Tensor(runOne(ADD, [a.live('backward'), b.live('backward')], undefined));
  if (gradEnabled() && (a.requiresGrad || b.requiresGrad)) {
    const node = new Node('add', [edgeTo(a), edgeTo(b)], 1, ([g]) => [g!, g!]);
    attach(node, [sum]);
  }
  return sum;
}
