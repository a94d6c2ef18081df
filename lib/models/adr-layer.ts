import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { neg, mul } from '../ops/elementwise';
import { avgPool2d, conv2d, interpolate } from '../ops/linalg';
import { withDefaults } from '../ops/define';
import { tensor } from '../ops/creation';
import { reshape } from '../ops/shape';
import {
  ACTIVATIONS,
  type ActivationName,
  AdvectionDiffusionReaction2d,
  type AdvectionDiffusionReaction2dOptions,
  Conv2d,
  GroupNorm,
  Module,
  normalParameter,
  parameter,
} from '../nn';

/** Order of advection (a), diffusion (d) and reaction (r) within a step. */
export type ADROrder = 'adr' | 'ard' | 'dar' | 'dra' | 'rad' | 'rda';
const ORDERS: readonly ADROrder[] = ['adr', 'ard', 'dar', 'dra', 'rad', 'rda'];

interface Splitting {
  /** Default 'adr'. The published algorithm diffuses and reacts first ('dra'), its released code advects first. */
  order?: ADROrder;
  /**
   * 'lie' (default): one operator after the other. 'strang': half steps of the first two, the third whole, and
   * back: A/2 D/2 R D/2 A/2 for 'adr'.
   */
  splitting?: 'lie' | 'strang';
  /** 'color' (default) keeps values along the flow, 'mass' keeps sums. */
  transport?: 'color' | 'mass';
  /** Channels of the velocity network. Default: as many as the field has. */
  velocityChannels?: number;
  /**
   * Velocities of a layer: the channels are split into as many groups, each of which moves by itself. Divides the
   * channels. Default 1.
   */
  velocities?: number;
  /**
   * Cells along each side of a block that has one velocity: the velocity network works on means over s x s cells, and
   * its result is interpolated linearly. It sees s times as far at 1/s^2 of the cost. Divides H and W. Default 1.
   */
  velocityScale?: number;
  /**
   * Speed at which the groups start, in cells per time: group g of G moves in the direction 2 pi g / G, until training
   * says otherwise. Default 0: at rest. What spreads in all directions, such as waves, is carried by several groups.
   */
  initialSpeed?: number;
}

export type ADRLayerOptions = AdvectionDiffusionReaction2dOptions & Splitting;

export interface VelocityNetOptions {
  /** Hidden channels. */
  hidden: number;
  activation: ActivationName;
  /** Groups of channels with a velocity of their own. Default 1. */
  velocities?: number;
  /** The network works on means over s x s cells. Default 1. */
  scale?: number;
  /** Speed of the groups at the start, in directions 2 pi g / G; K2 has a bias then. Default 0. */
  initialSpeed?: number;
  /** Normalises the field first: mean and variance over a sample, weights for each channel. Default false. */
  normalize?: boolean;
}

/**
 * The velocity of a field: w = up_s(K2 act(K1 norm(mean_s(u)))), K1 and K2 3x3 with zero padding, in cells per unit
 * time, one for all channels or for each group of them. K2 starts at 1e-4 N(0, 1), so that motion starts near zero.
 * mean_s is the mean over s x s cells and up_s linear interpolation back.
 */
export class VelocityNet extends Module {
  readonly norm: GroupNorm | null;
  readonly first: Conv2d;
  readonly last: Tensor;
  /** Velocity of each group where the hidden field is 0, (x, y) of each; null without an initial speed. */
  readonly bias: Tensor | null;
  private readonly activation: ActivationName;
  private readonly scale: number;

  constructor(channels: number, options: VelocityNetOptions) {
    super();
    const o = withDefaults<Required<VelocityNetOptions>>('VelocityNet', options, {
      hidden: channels,
      activation: 'silu',
      velocities: 1,
      scale: 1,
      initialSpeed: 0,
      normalize: false,
    });
    requireArgument(
      Number.isFinite(o.initialSpeed) && o.initialSpeed >= 0,
      'VelocityNet',
      () => `initialSpeed must be a finite number >= 0, got ${show(o.initialSpeed)}`,
    );
    for (const name of ['velocities', 'scale'] as const) {
      requireArgument(
        Number.isInteger(o[name]) && o[name] > 0,
        'VelocityNet',
        () => `${name} must be an integer > 0, got ${show(o[name])}`,
      );
    }
    this.activation = o.activation;
    this.scale = o.scale;
    this.norm = o.normalize ? new GroupNorm(1, channels) : null;
    this.first = new Conv2d(channels, o.hidden, 3, { padding: 1 });
    this.last = normalParameter([2 * o.velocities, o.hidden, 3, 3], 1e-4);
    const directions = Array.from({ length: 2 * o.velocities }, (_, i) => {
      const angle = (2 * Math.PI * Math.floor(i / 2)) / o.velocities;
      return o.initialSpeed * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
    });
    this.bias = o.initialSpeed > 0 ? parameter(tensor(directions)) : null;
  }

  /** [N, C, H, W] to [N, 2 G, H, W]: the x and y components of each of the G groups. */
  forward(u: Tensor): Tensor {
    const { scale } = this;
    const [h, w] = u.shape.slice(-2) as [number, number];
    requireArgument(
      h % scale === 0 && w % scale === 0,
      'VelocityNet',
      () => `H and W must be multiples of the scale ${scale}, got [${h}, ${w}]`,
    );
    const coarse = scale === 1 ? u : avgPool2d(u, scale);
    const field = this.norm ? this.norm.forward(coarse) : coarse;
    const hidden = ACTIVATIONS[this.activation](this.first.forward(field));
    const velocity = conv2d(hidden, this.last, {
      padding: 1,
      ...(this.bias ? { bias: this.bias } : {}),
    });
    return scale === 1 ? velocity : interpolate(velocity, { scaleFactor: scale, mode: 'bilinear' });
  }
}

/**
 * One layer of an advection-diffusion-reaction network: a step of u_t + w . grad u = k_c Lap u + R(u) (or, for
 * mass transport, u_t + div(w u) = ...) by operator splitting, with a velocity w(u) of its own.
 *
 *     A   u(x - dt w) ('color'), or the content of each cell put at x + dt w ('mass')
 *     D   (I - dt k_c D)^-1 u
 *     R   u + dt (W2 act(W1 u + b1) + b2)
 *
 * With `normalize` the velocity and the reaction see the field normalised over each sample, the field itself is moved
 * and diffused as it is. The velocity is that of the field just before its first transport. The layout follows the
 * authors' later network with true splitting; the implicit diffusion, velocities of groups of channels and velocities
 * from a coarser mesh are ours: reconstructions. See docs/systems/adrnn.md.
 */
export class ADRLayer extends Module {
  readonly velocity: VelocityNet;
  readonly step: AdvectionDiffusionReaction2d;
  private readonly dt: number;
  private readonly order: ADROrder;
  private readonly strang: boolean;
  private readonly transport: 'color' | 'mass';
  private readonly groups: number;

  constructor(channels: number, options?: ADRLayerOptions) {
    super();
    const { order, splitting, transport, ...others } = options ?? {};
    const { velocityChannels, velocities, velocityScale, initialSpeed, ...step } = others;
    const o = withDefaults<Required<Splitting>>(
      'ADRLayer',
      {
        ...{ order, splitting, transport },
        ...{ velocityChannels, velocities, velocityScale, initialSpeed },
      },
      {
        ...{ order: 'adr', splitting: 'lie', transport: 'color' },
        ...{ velocityChannels: channels, velocities: 1, velocityScale: 1, initialSpeed: 0 },
      },
    );
    const requireOneOf = (name: string, value: unknown, values: readonly unknown[]) =>
      requireArgument(
        values.includes(value),
        'ADRLayer',
        () => `${name} must be one of ${values.join(', ')}, got ${show(value)}`,
      );
    requireOneOf('order', o.order, ORDERS);
    requireOneOf('splitting', o.splitting, ['lie', 'strang']);
    requireOneOf('transport', o.transport, ['color', 'mass']);
    this.order = o.order;
    this.strang = o.splitting === 'strang';
    this.transport = o.transport;
    this.dt = step.dt ?? 1;
    this.step = new AdvectionDiffusionReaction2d(channels, step);
    this.velocity = new VelocityNet(channels, {
      hidden: o.velocityChannels,
      activation: step.activation ?? 'silu',
      velocities: o.velocities,
      scale: o.velocityScale,
      initialSpeed: o.initialSpeed,
      normalize: step.normalize ?? false,
    });
    requireArgument(
      channels % o.velocities === 0,
      'ADRLayer',
      () => `velocities must divide the ${channels} channels, got ${show(o.velocities)}`,
    );
    this.groups = o.velocities;
  }

  /**
   * The displacement of a whole step in cells, in the direction that the transport wants: [N, 2, H, W], or
   * [N, G, 2, H, W] for G > 1 velocities.
   */
  displacement(u: Tensor): Tensor {
    const w = this.velocity.forward(u);
    const signed = this.transport === 'mass' ? this.dt : -this.dt;
    const moved = signed === 1 ? w : signed === -1 ? neg(w) : mul(w, signed);
    if (this.groups === 1) return moved;
    const [n, , h, width] = moved.shape as [number, number, number, number];
    return reshape(moved, [n, this.groups, 2, h, width]);
  }

  /** Moves each group of channels by its displacement. */
  private advect(u: Tensor, displacement: Tensor): Tensor {
    if (displacement.ndim === 4) return this.step.advect(u, displacement, this.transport);
    const [n, c, h, w] = u.shape as [number, number, number, number];
    const g = this.groups;
    const moved = this.step.advect(
      reshape(u, [n * g, c / g, h, w]),
      reshape(displacement, [n * g, 2, h, w]),
      this.transport,
    );
    return reshape(moved, [n, c, h, w]);
  }

  forward(u: Tensor): Tensor {
    const fusible = this.order === 'adr' && !this.strang && this.transport === 'color';
    if (fusible && this.groups === 1) {
      return this.step.forward(u, this.displacement(u));
    }
    let displacement: Tensor | undefined;
    const apply = (operator: string, field: Tensor, fraction: number): Tensor => {
      if (operator === 'd') return this.step.diffuse(field, fraction);
      if (operator === 'r') return this.step.react(field, fraction);
      displacement ??= this.displacement(field);
      const d = fraction === 1 ? displacement : mul(displacement, fraction);
      return this.advect(field, d);
    };
    const [first, second, third] = [...this.order] as [string, string, string];
    const stages: [string, number][] = this.strang
      ? [
          [first, 0.5],
          [second, 0.5],
          [third, 1],
          [second, 0.5],
          [first, 0.5],
        ]
      : [
          [first, 1],
          [second, 1],
          [third, 1],
        ];
    return stages.reduce((field, [operator, part]) => apply(operator, field, part), u);
  }
}
