import { isComplex } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { type OpFunction, type TensorLike, defineOp, requireTensor } from './define';
import { div, eq, where } from './elementwise';
import { cast, complexOp, conjOp, imagOp, mulConjOp, promoted, realOp } from './promote';

// Complex tensors: their parts, conjugates and views as pairs of numbers. Arithmetic is that of the other
// families: add, sub, mul, div, neg, abs (the modulus), exp, sum, mean and all that moves elements.
//
// Gradients follow PyTorch: that of a real result L in z is dL/d Re z + i dL/d Im z. See docs/numerics/complex.md.

/**
 * re + i im: complex64 from float32 and integers, complex128 from float64. Broadcasts; one of the two may be
 * a number. Differentiable in both. Cost: 16 bytes an element in float32.
 */
export function complex(re: TensorLike, im: TensorLike): Tensor {
  const parts = promoted('complex', re, im).map((part) =>
    typeof part !== 'number' && (part.dtype === 'int32' || part.dtype === 'uint8')
      ? cast(part, 'float32')
      : part,
  );
  return complexOp(parts, undefined);
}

/** The real part; of a real tensor the tensor itself. A view. Differentiable. */
export function real(z: Tensor): Tensor {
  requireTensor('real', z);
  return isComplex(z.dtype) ? realOp([z], undefined) : z;
}

/**
 * The imaginary part. A view. Differentiable.
 *
 * Errors: FLUXION_DTYPE_MISMATCH for a real tensor.
 */
export function imag(z: Tensor): Tensor {
  requireTensor('imag', z);
  return imagOp([z], undefined);
}

/** Re z - i Im z; of a real tensor the tensor itself. Differentiable. Cost: one read and one write. */
export function conj(z: Tensor): Tensor {
  requireTensor('conj', z);
  return isComplex(z.dtype) ? conjOp([z], undefined) : z;
}

const angleOp = defineOp('angle', {
  saveInputs: [0],
  vjp: ({ g, input }) => {
    const z = input(0);
    const zero = eq(abs2(z), 0);
    // i g / conj(z) = g (-Im z + i Re z) / |z|^2
    const turned = complexOp([0, g], undefined);
    return [where(zero, 0, div(turned, where(zero, 1, conjOp([z], undefined))))];
  },
});

function abs2(z: Tensor): Tensor {
  return realOp([mulConjOp([z, z], undefined)], undefined);
}

/**
 * The argument in (-pi, pi]: atan2(Im z, Re z), a real tensor. Differentiable; the gradient at 0 is 0.
 *
 * Errors: FLUXION_DTYPE_MISMATCH for a real tensor.
 */
export function angle(z: Tensor): Tensor {
  requireTensor('angle', z);
  return angleOp([z], undefined);
}

const viewAsRealOp: OpFunction = defineOp('view_as_real', {
  vjp: ({ g }) => [viewAsComplexOp([g], undefined)],
});

const viewAsComplexOp: OpFunction = defineOp('view_as_complex', {
  vjp: ({ g }) => [viewAsRealOp([g], undefined)],
});

/**
 * A complex tensor as a real one with a last dimension of 2: real and imaginary part. A view. Differentiable.
 *
 * Errors: FLUXION_DTYPE_MISMATCH for a real tensor; FLUXION_SHAPE_MISMATCH for one of 8 dimensions.
 */
export function viewAsReal(z: Tensor): Tensor {
  requireTensor('viewAsReal', z);
  return viewAsRealOp([z], undefined);
}

/**
 * A floating-point tensor whose last dimension has size 2 as a complex one without it. A view where the pairs
 * are neighbours in memory, at distances that are multiples of a pair; else of a copy. Differentiable.
 *
 * Errors: FLUXION_DTYPE_MISMATCH for integers and complex tensors; FLUXION_SHAPE_MISMATCH for another last
 * dimension.
 */
export function viewAsComplex(x: Tensor): Tensor {
  requireTensor('viewAsComplex', x);
  return viewAsComplexOp([x], undefined);
}
