import { tensor } from '../ops/creation';
import { cast, div, sub } from '../ops/elementwise';
import { reshape } from '../ops/shape';
import type { Tensor } from '../tensor/tensor';
import { perChannel, withChannels } from './pixel-transforms';
import type { PixelTransform } from './transform';
import type { Stage } from './batch-maker';

type Normalize = Extract<PixelTransform, { kind: 'normalize' }>;

/** Splits off the normalizations at the end, which the device does with all its threads on smaller uploads. */
export function splitStages(stages: readonly Stage[]): { host: Stage[]; device: Normalize[] } {
  const isNormalize = (stage: Stage): stage is Normalize =>
    'kind' in stage && stage.kind === 'normalize';
  let end = stages.length;
  while (end > 0 && isNormalize(stages[end - 1]!)) end--;
  return { host: stages.slice(0, end), device: stages.slice(end).filter(isNormalize) };
}

/** The same bits as the host's normalizeArray: one rounding to float32 for each step. */
export function normalizeOnDevice(images: Tensor, { mean, std }: Normalize): Tensor {
  const shape = withChannels(images.shape);
  const channels = shape[1]!;
  const bytes = images.dtype === 'uint8';
  const wide = reshape(cast(images, 'float32'), shape);
  const scaled = bytes ? div(wide, 255) : wide;
  const operand = (name: string, values: readonly number[]) => {
    const all = perChannel(name, values, channels);
    if (all.every((value) => value === all[0])) return all[0]!;
    return tensor(all, { shape: [channels, ...shape.slice(2).map(() => 1)] });
  };
  const [means, stds] = [operand('mean', mean), operand('std', std)];
  const centred = means === 0 ? scaled : sub(scaled, means);
  return stds === 1 ? centred : div(centred, stds);
}
