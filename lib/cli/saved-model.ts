import path from 'node:path';
import { FluxionError, show } from '../errors';
import { loadSafetensors, saveSafetensors } from '../data';
import { RDNN, type RDNNOptions } from '../models';
import type { Model } from '../train';
import { type TrainingConfig, readConfig } from './training-config';

/** The file of the weights and that of the configuration, in the output folder of a run. */
export const WEIGHTS = 'model.safetensors';
export const CONFIG = 'config.json';

/** Models that classify images [N, C, H, W], by name. */
const CLASSIFIERS: Record<string, (options: object) => Model & { options: RDNNOptions }> = {
  RDNN: (options) => new RDNN(options),
};

export function makeModel({
  name,
  options,
}: TrainingConfig['model']): ReturnType<(typeof CLASSIFIERS)[string]> {
  const make = Object.hasOwn(CLASSIFIERS, name) ? CLASSIFIERS[name] : undefined;
  if (make) return make(options);
  throw new FluxionError(
    'FLUXION_INVALID_ARGUMENT',
    'train',
    `model.name must be one of ${Object.keys(CLASSIFIERS).join(', ')}, got ${show(name)}`,
  );
}

export async function saveModel(model: Model, folder: string): Promise<void> {
  await saveSafetensors(model.stateDict(), path.join(folder, WEIGHTS));
}

/** The trained model of an output folder, in eval mode. */
export async function loadModel(folder: string): Promise<ReturnType<typeof makeModel>> {
  const config = await readConfig(path.join(folder, CONFIG));
  const model = makeModel(config.model);
  const { tensors } = await loadSafetensors(path.join(folder, WEIGHTS));
  model.loadStateDict(tensors);
  for (const tensor of Object.values(tensors)) tensor.dispose();
  model.eval();
  return model;
}
