import type { Tensor } from '../tensor/tensor';
import { dropout } from '../ops/random';
import { flatten } from '../ops/shape';
import { adaptiveAvgPool2d, avgPool2d, maxPool2d } from '../ops/linalg';
import { Module } from './module';

/** A module of one tensor to one tensor. */
export type Layer = Module & { forward(x: Tensor): Tensor };

/** Applies layers one after the other. */
export class Sequential extends Module {
  readonly layers: Layer[];

  constructor(...layers: Layer[]) {
    super();
    this.layers = layers;
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer) => layer.forward(value), x);
  }
}

/** [N, ...] -> [N, product]. */
export class Flatten extends Module {
  forward(x: Tensor): Tensor {
    return flatten(x, { startDim: 1 });
  }
}

/** Sets each element to 0 with probability p while training, and scales the rest by 1 / (1 - p). */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super();
  }

  forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training });
  }
}

export class MaxPool2d extends Module {
  constructor(
    readonly kernelSize: number,
    readonly options?: { stride?: number; padding?: number },
  ) {
    super();
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernelSize, this.options);
  }
}

export class AvgPool2d extends Module {
  constructor(
    readonly kernelSize: number,
    readonly options?: { stride?: number; padding?: number },
  ) {
    super();
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.options);
  }
}

/** Means over a grid of outputSize cells, whatever the size of the input. */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly outputSize: number | [number, number]) {
    super();
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize);
  }
}
