import type { Tensor } from '../tensor/tensor';
import { type InterpolateOptions, interpolate } from '../ops/linalg';
import { Module } from './module';

/** A tensor at another resolution; see {@link interpolate}. */
export class Upsample extends Module {
  constructor(readonly options: InterpolateOptions) {
    super();
  }

  forward(x: Tensor): Tensor {
    return interpolate(x, this.options);
  }
}
