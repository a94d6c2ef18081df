import { FluxionError, show } from '../errors';
import { tensor } from '../ops/creation';
import { cast, div, sub } from '../ops/elementwise';
import { normalizeBytes } from '../ops/elementwise-normalize-bytes';
import { reshape } from '../ops/shape';
import type { Tensor } from '../tensor/tensor';
import { keep } from '../autograd/tidy';
import type { Stage } from './batch-maker';
import { perChannel, withChannels } from './pixel-transforms';
import type { PixelTransform } from './transform';

type Normalize = Extract<PixelTransform, { kind: 'normalize' }>;

/** Splits off the normalizations at the end, which the device does with all its threads on smaller uploads. */
export function splitStages(stages: readonly Stage[]): { host: Stage[]; device: Normalize[] } {
  const isNormalize = (stage: Stage): stage is Normalize =>
    'kind' in stage && stage.kind === 'normalize';
  let end = stages.length;
  while (end > 0 && isNormalize(stages[end - 1]!)) end--;
  return { host: stages.slice(0, end), device: stages.slice(end).filter(isNormalize) };
}

/** Statistics on the device, for images of a number of channels. */
interface Constants {
  channels: number;
  mean: Tensor;
  std: Tensor;
}

/** A normalization on the device: the same bits as the host's, one rounding to float32 for each step. */
export class DeviceNormalization {
  private constants: Constants | null = null;

  constructor(private readonly stage: Normalize) {}

  /** Replaces the arrays of the batch that it is about. */
  apply(batch: Tensor[]): void {
    for (const at of this.stage.arrays) batch[at] = this.normalize(batch[at]);
  }

  private normalize(images: Tensor | undefined): Tensor {
    if (!images || images.ndim < 3) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        'normalize',
        `the array of a batch must be images [N, H, W] or [N, C, H, W], got ${show(images && [...images.shape])}`,
      );
    }
    const shape = withChannels(images.shape);
    const { mean, std } = this.constantsFor(shape[1]!);
    if (images.dtype === 'uint8') return normalizeBytes(reshape(images, shape), mean, std);
    const column = [shape[1]!, ...shape.slice(2).map(() => 1)];
    const values = reshape(cast(images, 'float32'), shape);
    return div(sub(values, reshape(mean, column)), reshape(std, column));
  }

  private constantsFor(channels: number): Constants {
    if (this.constants?.channels === channels) return this.constants;
    this.dispose();
    const upload = (name: string, values: readonly number[]) =>
      keep(tensor(perChannel(name, values, channels)));
    return (this.constants = {
      channels,
      mean: upload('mean', this.stage.mean),
      std: upload('std', this.stage.std),
    });
  }

  dispose(): void {
    this.constants?.mean.dispose();
    this.constants?.std.dispose();
    this.constants = null;
  }
}
