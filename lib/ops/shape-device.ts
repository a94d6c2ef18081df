import { transfer } from '../tensor/handle';
import { gradEnabled } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';
import { Node, attach, edgeTo } from '../autograd/tape';
import { lookUp } from './define';

// Run by tensor/assign.ts where a step is captured: new contents in the memory that a tensor has.
lookUp('assign');

/** The tensor on a device, itself where it is there already; the gradient comes back to where it was. */
export function moved(x: Tensor, device: number): Tensor {
  const handle = x.live('to');
  const source = handle.device;
  if (source === device) return x;
  const result = new Tensor(transfer(handle, device));
  if (x.requiresGrad && gradEnabled()) {
    const node = new Node('to', [edgeTo(x)], 1, ([g]) => [g ? moved(g, source) : null], '');
    attach(node, [result]);
  } else {
    result.cut = x.cut;
  }
  return result;
}
