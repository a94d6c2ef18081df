import { requireArgument, show } from '../errors';
import { noGrad, tidy } from '../autograd/tidy';
import { reshape, softmax } from '../ops';
import { loadImage } from '../data';
import { loadModel } from './saved-model';

/** `fluxion predict folder image.png`: the most probable classes, each on a line with its probability. */
export async function predictCommand(
  folder: string,
  image: string,
  { top = '3' }: { top?: string },
): Promise<void> {
  const count = Number(top);
  requireArgument(
    Number.isInteger(count) && count > 0,
    'predict',
    () => `--top must be an integer > 0, got ${show(top)}`,
  );
  const model = await loadModel(folder);
  const channels = model.options.inChannels === 3 ? 3 : 1;
  const pixels = await loadImage(image, { channels });
  const reading = noGrad(() =>
    tidy(() => softmax(model.forward(reshape(pixels, [1, ...pixels.shape])), -1).data()),
  );
  const probabilities = Array.from(await reading, (probability, label) => ({ label, probability }));
  probabilities.sort((a, b) => b.probability - a.probability);
  for (const { label, probability } of probabilities.slice(0, count)) {
    console.log(`${label}\t${probability.toFixed(4)}`);
  }
}
