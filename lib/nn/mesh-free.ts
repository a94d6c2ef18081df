import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { tensor } from '../ops/creation';
import { withDefaults } from '../ops/define';
import { randn } from '../ops/random';
import { meshFreeConv2d } from '../ops/spectral-mesh-free';
import { constantParameter } from './initialization';
import { requireSizes } from './linear';
import { Module, parameter } from './module';

export interface MeshFreeConv2dOptions {
  /** Order of the derivatives: 1 has 3 coefficients a pair of channels, 2 has 6. Default 1. */
  order?: 1 | 2;
  /** Width and height of the domain; one number for both. Default 1. */
  length?: number | readonly [number, number];
  /** Whose the Gaussian is: of each input channel (default, cheaper) or of each pair of channels. */
  gaussian?: 'channel' | 'pair';
  /**
   * p1 and p3 at the start, a length: the Gaussian has the standard deviation sqrt(2) width. One to two cells of the
   * finest mesh are a good choice. Default 1.5/64 of the width of the domain.
   */
  width?: number;
  /** Default true. */
  bias?: boolean;
}

/**
 * Mesh-free convolution layer: a0 + a1 d/dx + a2 d/dy (+ second derivatives) of the field smoothed by a learned
 * anisotropic Gaussian, with physical lengths. The same weights are the same operator on every mesh.
 *
 * Equation, boundary (periodic) and costs: {@link meshFreeConv2d}. Start: a0 ~ N(0, 1/Ci), a1, a2 ~ width
 * N(0, 1/Ci), second derivatives width^2 N(0, 1/Ci), isotropic Gaussians. A reconstruction, as the operator is.
 */
export class MeshFreeConv2d extends Module {
  /** [Co, Ci, 3 or 6], with 'pair' [Co, Ci, 6 or 9]. */
  readonly weight: Tensor;
  /** [Ci, 3], none with 'pair'. */
  readonly gaussian: Tensor | null;
  readonly bias: Tensor | null;
  private readonly length: number | readonly [number, number];

  constructor(inChannels: number, outChannels: number, options?: MeshFreeConv2dOptions) {
    super();
    const op = 'MeshFreeConv2d';
    requireSizes(op, { inChannels, outChannels });
    const length = options?.length ?? 1;
    const first: unknown = Array.isArray(length) ? length[0] : length;
    const lx = typeof first === 'number' ? first : NaN;
    const o = withDefaults<Required<MeshFreeConv2dOptions>>(op, options, {
      order: 1,
      length,
      gaussian: 'channel',
      width: (1.5 / 64) * lx,
      bias: true,
    });
    requireArgument(
      Number.isFinite(lx) && lx > 0,
      op,
      () => `length must be a finite number > 0 or two of them, got ${show(length)}`,
    );
    requireArgument(
      o.order === 1 || o.order === 2,
      op,
      () => `order must be 1 or 2, got ${show(o.order)}`,
    );
    requireArgument(
      o.gaussian === 'channel' || o.gaussian === 'pair',
      op,
      () => `gaussian must be 'channel' or 'pair', got ${show(o.gaussian)}`,
    );
    requireArgument(
      Number.isFinite(o.width) && o.width > 0,
      op,
      () => `width must be a finite number > 0, got ${show(o.width)}`,
    );
    const { width } = o;
    const scale = [1, width, width, ...(o.order === 2 ? [width ** 2, width ** 2, width ** 2] : [])];
    const shape = [width, 0, width];
    const own = o.gaussian === 'pair' ? [0, 0, 0] : [];
    this.length = length;
    this.weight = parameter(
      noGrad(() =>
        tidy(() => {
          const moments = randn([outChannels, inChannels, scale.length + own.length]);
          const scales = [...scale.map((s) => s / Math.sqrt(inChannels)), ...own];
          const offsets = [...scale.map(() => 0), ...(own.length > 0 ? shape : [])];
          return moments.mul(tensor(scales)).add(tensor(offsets));
        }),
      ),
    );
    this.gaussian =
      o.gaussian === 'channel'
        ? parameter(tensor(Array.from({ length: inChannels }, () => shape)))
        : null;
    this.bias = o.bias ? constantParameter([outChannels], 0) : null;
  }

  forward(u: Tensor): Tensor {
    const { gaussian, bias, length } = this;
    return meshFreeConv2d(u, this.weight, { gaussian, bias, length });
  }
}
