import { FluxionError, requireArgument, show } from '../errors';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { floating } from '../ops/promote';
import { abs, add, avgPool2d, div, log, mean, mul, reshape, sqrt, square, sub, sum } from '../ops';

// Metrics of fields and images: output and target of the same shape [N, ...]. Each is the mean over the batch.

function difference(op: string, output: Tensor, target: Tensor): [Tensor, Tensor, Tensor] {
  if (!sameShape(output.shape, target.shape)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `target must have shape ${show([...output.shape])}, got ${show([...target.shape])}`,
    );
  }
  const [a, b] = [floating(op, output), floating(op, target)];
  return [sub(a, b), a, b];
}

/** A row for each sample. */
const bySample = (x: Tensor) => reshape(x, [x.shape[0] ?? 1, -1]);

/** Mean of (output - target)^2. */
export function meanSquaredError(output: Tensor, target: Tensor): Tensor {
  return mean(square(difference('meanSquaredError', output, target)[0]));
}

/** Mean of |output - target|. */
export function meanAbsoluteError(output: Tensor, target: Tensor): Tensor {
  return mean(abs(difference('meanAbsoluteError', output, target)[0]));
}

/** |output - target| / |target| in the Euclidean norm of each sample. */
export function relativeL2(output: Tensor, target: Tensor): Tensor {
  const [d, , b] = difference('relativeL2', output, target);
  const norm = (x: Tensor) => sqrt(sum(square(bySample(x)), { dim: 1 }));
  return mean(div(norm(d), norm(b)));
}

/**
 * MSE(output, target) / MSE(0, target), over the whole batch: 1 is the misfit of an output of zeros. A loss that does
 * not depend on the units of the target.
 */
export function relativeMisfit(output: Tensor, target: Tensor): Tensor {
  const [d, , b] = difference('relativeMisfit', output, target);
  return div(mean(square(d)), mean(square(b)));
}

export interface RangeOptions {
  /** Largest minus smallest possible value. Default 1. */
  dataRange?: number;
}

function rangeOf(op: string, options: RangeOptions | undefined): number {
  const { dataRange } = withDefaults(op, options, { dataRange: 1 });
  requireArgument(
    dataRange > 0 && Number.isFinite(dataRange),
    op,
    () => `dataRange must be a finite number > 0, got ${show(dataRange)}`,
  );
  return dataRange;
}

/** Peak signal-to-noise ratio of each sample in dB: 10 log10(dataRange^2 / mean squared error). */
export function psnr(output: Tensor, target: Tensor, options?: RangeOptions): Tensor {
  const range = rangeOf('psnr', options);
  const error = mean(square(bySample(difference('psnr', output, target)[0])), { dim: 1 });
  return mean(mul(log(div(range * range, error)), 10 / Math.LN10));
}

const WINDOW = 7;

/**
 * Structural similarity of the last two dimensions (Wang et al. 2004, IEEE TIP 13), with the choices of skimage: a
 * uniform window of 7 x 7, sample covariances, K1 = 0.01, K2 = 0.03, borders left out; the mean over all planes.
 * Sides of at least 7.
 */
export function ssim(output: Tensor, target: Tensor, options?: RangeOptions): Tensor {
  const range = rangeOf('ssim', options);
  const [, a, b] = difference('ssim', output, target);
  const [height, width] = a.shape.slice(-2);
  if (!(height! >= WINDOW && width! >= WINDOW)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'ssim',
      `output must have sides of at least ${WINDOW}, got ${show([...a.shape])}`,
    );
  }
  const planes = (x: Tensor) => reshape(x, [-1, 1, height!, width!]);
  const local = (x: Tensor) => avgPool2d(x, WINDOW, { stride: 1 });
  const [x, y] = [planes(a), planes(b)];
  const [ux, uy] = [local(x), local(y)];
  const sample = WINDOW ** 2 / (WINDOW ** 2 - 1);
  const covariance = (p: Tensor, q: Tensor, up: Tensor, uq: Tensor) =>
    mul(sub(local(mul(p, q)), mul(up, uq)), sample);
  const [c1, c2] = [(0.01 * range) ** 2, (0.03 * range) ** 2];
  const luminance = div(add(mul(mul(ux, uy), 2), c1), add(add(square(ux), square(uy)), c1));
  const structure = div(
    add(mul(covariance(x, y, ux, uy), 2), c2),
    add(add(covariance(x, x, ux, ux), covariance(y, y, uy, uy)), c2),
  );
  return mean(mul(luminance, structure));
}
