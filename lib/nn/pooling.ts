import type { Tensor } from '../tensor/tensor';
import {
  type AvgPool2dOptions,
  type MaxPool2dOptions,
  type Size2d,
  adaptiveAvgPool2d,
  avgPool2d,
  maxPool2d,
} from '../ops/linalg';
import { Module } from './module';

/** The largest value of each window; see {@link maxPool2d}. */
export class MaxPool2d extends Module {
  constructor(
    readonly kernelSize: Size2d,
    readonly options?: MaxPool2dOptions,
  ) {
    super();
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernelSize, this.options);
  }
}

/** The mean of each window; see {@link avgPool2d}. */
export class AvgPool2d extends Module {
  constructor(
    readonly kernelSize: Size2d,
    readonly options?: AvgPool2dOptions,
  ) {
    super();
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.options);
  }
}

/** Means over a grid of outputSize cells, whatever the size of the input. */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly outputSize: number | null | readonly [number | null, number | null]) {
    super();
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize);
  }
}
