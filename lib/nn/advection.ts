import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import {
  type SemiLagrangianOptions,
  advectSemiLagrangian2d,
} from '../ops/advection-semi-lagrangian';
import { withDefaults } from '../ops/define';
import { div, mul } from '../ops/elementwise';
import { expand, reshape } from '../ops/shape';
import { tensor } from '../ops/creation';
import { constantParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

export interface Advection2dOptions extends SemiLagrangianOptions {
  /** Time step of the layer. Default 1. */
  dt?: number;
  /** Cell width. Default 1: velocities in cells per time. */
  dx?: number;
  /** Cell height. Default dx. */
  dy?: number;
}

/**
 * Learned transport: u_t + a . grad u = 0 ('color'), or u_t + div(a u) = 0 ('mass'), over one step with a constant
 * velocity of each channel, or with the velocity field that forward is given. Semi-Lagrangian, hence stable for
 * every velocity and step.
 *
 * Equation, boundaries and costs: {@link advectSemiLagrangian2d}.
 */
export class Advection2d extends Module {
  /** [C, 2], (x, y), in length / time; starts at rest. */
  readonly velocity: Tensor;
  readonly settings: Required<Advection2dOptions>;

  constructor(channels: number, options?: Advection2dOptions) {
    super();
    requireSizes('Advection2d', { channels });
    const dx = options?.dx ?? 1;
    this.settings = withDefaults<Required<Advection2dOptions>>('Advection2d', options, {
      dt: 1,
      dx,
      dy: dx,
      boundary: 'zeros',
      interpolation: 'bilinear',
      transport: 'color',
    });
    for (const name of ['dt', 'dx', 'dy'] as const) {
      const value = this.settings[name];
      requireArgument(
        Number.isFinite(value) && value > 0,
        'Advection2d',
        () => `${name} must be a finite number > 0, got ${show(value)}`,
      );
    }
    this.velocity = constantParameter([channels, 2], 0);
  }

  /** `velocity` [N or 1, 2, H, W] or [N or 1, C, 2, H, W] takes the place of the learned one. */
  forward(u: Tensor, velocity?: Tensor): Tensor {
    const { dt, dx, dy, ...transport } = this.settings;
    const [, channels, h, w] = u.shape as [number, number, number, number];
    const v =
      velocity ?? expand(reshape(this.velocity, [1, channels, 2, 1, 1]), [1, channels, 2, h, w]);
    // Color transport looks back along the flow, mass transport pushes with it.
    const step = transport.transport === 'color' ? -dt : dt;
    const displacement =
      dx === dy
        ? mul(v, step / dx)
        : div(
            mul(v, step),
            tensor([dx, dy], { shape: [2, 1, 1], dtype: u.dtype, device: u.device }),
          );
    return advectSemiLagrangian2d(u, displacement, transport);
  }
}
