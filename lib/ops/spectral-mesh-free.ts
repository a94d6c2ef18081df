import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import {
  type OpFunction,
  defineOp,
  defineOpWithOutputs,
  requireTensor,
  withDefaults,
} from './define';

export interface MeshFreeConv1dOptions {
  /** [Co], added to every cell. Default none. */
  bias?: Tensor | null;
  /** Length of the domain (of all cells together), > 0. Default 1. */
  length?: number;
  /** p1 of each input channel, [Ci, 1], in place of one for each pair. Default none. */
  gaussian?: Tensor | null;
}

export interface MeshFreeConv2dOptions {
  /** [Co], added to every cell. Default none. */
  bias?: Tensor | null;
  /** Width and height of the domain (of all cells together), > 0; one number for both. Default [1, 1]. */
  length?: number | readonly [number, number];
  /** p1, p2, p3 of each input channel, [Ci, 3], in place of three for each pair. Default none. */
  gaussian?: Tensor | null;
}

/** The forward op and its fused adjoint: inputs u, weight, bias, gaussian. */
function defineMeshFree<P extends object>(id: string): OpFunction<P> {
  const adjoint = defineOpWithOutputs<P>(`${id}_vjp`, { optionalFrom: 1 });
  return defineOp<P>(id, {
    optionalFrom: 2,
    // The gradients of the symbol read the input.
    saveInputs: (_, needs) => (needs(1) || needs(3) ? [0, 1, 3] : [1, 3]),
    vjp: ({ g, needs, input, operand, params }) => {
      const wanted = [0, 1, 2, 3].reduce((mask, i) => mask | (needs(i) ? 1 << i : 0), 0);
      const u = needs(1) || needs(3) ? input(0) : null;
      return adjoint([g, u, input(1), operand(3)], params, wanted);
    },
  });
}

const conv1dOp = defineMeshFree<{ length: number }>('mesh_free_conv1d');
const conv2dOp = defineMeshFree<{ lengthX: number; lengthY: number }>('mesh_free_conv2d');

/** Throws unless the operands are tensors of the input's kind; the addon checks the shapes. */
function checkOperands(
  op: string,
  u: Tensor,
  weight: Tensor,
  { bias, gaussian }: { bias: Tensor | null; gaussian: Tensor | null },
): void {
  requireTensor(op, u);
  requireTensor(op, weight, 'weight');
  for (const [name, value] of Object.entries({ bias, gaussian })) {
    if (value !== null) requireTensor(op, value, name);
  }
}

/**
 * 1-d mesh-free convolution: a learned Gaussian and its derivatives between each pair of channels, with
 * physical lengths, so that one operator acts alike on every mesh. With w = 2 pi n / length,
 *
 *     out_o = sum_i F^-1[ c_oi F u_i ] + bias_o,   c(w) = (a0 + i a1 w [- a2 w^2]) exp(-p1^2 w^2)
 *
 * that is a0 + a1 d/dx + a2 d^2/dx^2 of the field smoothed by a Gaussian of standard deviation sqrt(2) |p1|.
 * The construction is our reconstruction of the mesh-free convolutions of arXiv 2501.12739, not the authors'
 * code.
 *
 * - `u` [N, Ci, L]; `weight` [Co, Ci, 3] (a0, a1, p1) or [Co, Ci, 4] (a0, a1, a2, p1); `bias` [Co]. With
 *   `gaussian` [Ci, 1] (p1) the weight is [Co, Ci, 2] or [Co, Ci, 3], without p1. a1 and p1 are lengths, a2
 *   is a length squared.
 * - Returns [N, Co, L]. Periodic. The odd factor i a1 w vanishes at the Nyquist mode of an even L.
 * - Gradients in u, weight, bias and gaussian. The input is saved, its spectrum is not.
 * - Deterministic: the same bits for any number of threads.
 * - Cost: a real transform of every line, and 8 Ci Co flops for each mode and sample.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH; FLUXION_INVALID_ARGUMENT for a length that is not
 *   finite and > 0.
 *
 * Source: reconstructed from the public reviews and abstract of arXiv 2501.12739; docs/numerics/mesh-free.md.
 */
export function meshFreeConv1d(u: Tensor, weight: Tensor, options?: MeshFreeConv1dOptions): Tensor {
  const op = 'meshFreeConv1d';
  const given = withDefaults<Required<MeshFreeConv1dOptions>>(op, options, {
    bias: null,
    length: 1,
    gaussian: null,
  });
  checkOperands(op, u, weight, given);
  const { bias, gaussian, length } = given;
  requireArgument(
    typeof length === 'number',
    op,
    () => `length must be a finite number > 0, got ${show(length)}`,
  );
  return conv1dOp([u, weight, bias, gaussian], { length });
}

/**
 * 2-d mesh-free convolution: a learned anisotropic Gaussian and its derivatives between each pair of
 * channels, with physical lengths, so that one operator acts alike on every mesh. With wx = 2 pi nx / Lx and
 * wy = 2 pi ny / Ly,
 *
 *     out_o = sum_i F^-1[ c_oi F u_i ] + bias_o
 *     c(w) = (a0 + i a1 wx + i a2 wy [- a3 wx^2 - a4 wx wy - a5 wy^2]) exp(-w^T P P^T w),  P = [p1 0; p2 p3]
 *
 * that is a0 + a1 d/dx + a2 d/dy [+ a3 d^2/dx^2 + a4 d^2/dxdy + a5 d^2/dy^2] of exp(div P P^T grad) u, the
 * field after unit time of an anisotropic diffusion. The construction is our reconstruction of the mesh-free
 * convolutions of arXiv 2501.12739, not the authors' code.
 *
 * - `u` [N, Ci, H, W]; `weight` [Co, Ci, 6] (a0, a1, a2, p1, p2, p3) or [Co, Ci, 9] (a0 ... a5, p1, p2, p3);
 *   `bias` [Co]. With `gaussian` [Ci, 3] (p1, p2, p3 of each input channel) the weight is [Co, Ci, 3] or
 *   [Co, Ci, 6], moments alone. a1, a2 and the p are lengths, a3, a4, a5 are lengths squared.
 * - Returns [N, Co, H, W]. Periodic. What is odd in wx or wy vanishes at that axis' Nyquist mode of an even
 *   number of cells: i a1 wx, i a2 wy, and the product wx wy, in the exponential too.
 * - Gradients in u, weight, bias and gaussian. The input is saved, its spectrum is not.
 * - Deterministic: the same bits for any number of threads.
 * - Cost: a real transform of every plane (about 2.5 log2(H W) flops a cell each way) and 4 Ci Co flops a cell
 *   and sample; the symbol is evaluated on the fly. Backward: three transforms instead of two and twice the
 *   sums. A shared `gaussian` saves the exponentials of the pairs.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH; FLUXION_INVALID_ARGUMENT for a length that is not
 *   finite and > 0.
 *
 * Source: reconstructed from the public reviews and abstract of arXiv 2501.12739; docs/numerics/mesh-free.md.
 */
export function meshFreeConv2d(u: Tensor, weight: Tensor, options?: MeshFreeConv2dOptions): Tensor {
  const op = 'meshFreeConv2d';
  const given = withDefaults<Required<MeshFreeConv2dOptions>>(op, options, {
    bias: null,
    length: [1, 1],
    gaussian: null,
  });
  checkOperands(op, u, weight, given);
  const { bias, gaussian, length } = given;
  const lengths: readonly unknown[] =
    typeof length === 'number' ? [length, length] : Array.isArray(length) ? length : [];
  requireArgument(
    lengths.length === 2 && lengths.every((value) => typeof value === 'number'),
    op,
    () => `length must be a number or [Lx, Ly], got ${show(length)}`,
  );
  const [lengthX, lengthY] = lengths as [number, number];
  return conv2dOp([u, weight, bias, gaussian], { lengthX, lengthY });
}
