import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FluxionError } from '../errors';
import { manualSeed } from '../tensor/generator';
import { crossEntropy } from '../ops';
import { DataLoader, loadIdx, scaleImages } from '../data';
import { replaceFile } from '../data/file-bytes';
import {
  Adam,
  AdamW,
  CosineAnnealingLR,
  OneCycleLR,
  type Optimizer,
  SGD,
  type Scheduler,
} from '../optim';
import { type History, type Model, accuracy, evaluate, fit } from '../train';
import { CONFIG, makeModel, saveModel } from './saved-model';
import { type TrainingConfig, parseConfig, readConfig } from './training-config';

/** Exit code of a process that the user interrupted. */
const INTERRUPTED = 130;

function makeOptimizer(
  { optimizer, learningRate, weightDecay }: TrainingConfig,
  model: Model,
): Optimizer {
  const parameters = model.parameters();
  if (optimizer === 'sgd') {
    return new SGD(parameters, { learningRate, weightDecay, momentum: 0.9 });
  }
  return new (optimizer === 'adam' ? Adam : AdamW)(parameters, { learningRate, weightDecay });
}

function makeScheduler(
  config: TrainingConfig,
  optimizer: Optimizer,
  totalSteps: number,
): Scheduler | undefined {
  if (config.schedule === 'constant') return undefined;
  if (config.schedule === 'cosine') return new CosineAnnealingLR(optimizer, totalSteps);
  return new OneCycleLR(optimizer, config.learningRate, { totalSteps });
}

async function makeLoaders({
  data,
  batchSize,
  seed,
}: TrainingConfig): Promise<[DataLoader, DataLoader]> {
  const files = [data.images, data.labels, data.testImages, data.testLabels];
  const [images, labels, testImages, testLabels] = await Promise.all(files.map(loadIdx));
  const transform = scaleImages();
  return [
    new DataLoader({ tensors: [images!, labels!] }, { batchSize, seed, shuffle: true, transform }),
    new DataLoader({ tensors: [testImages!, testLabels!] }, { batchSize: 256, transform }),
  ];
}

/** Takes the output folder for this configuration; that of another one is refused. */
async function claimFolder(config: TrainingConfig): Promise<void> {
  await mkdir(config.output, { recursive: true });
  const file = path.join(config.output, CONFIG);
  const before = await readFile(file, 'utf8').catch(() => null);
  if (before !== null && !isDeepStrictEqual(parseConfig(file, before), config)) {
    throw new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      'train',
      `output ${config.output} holds a run of another configuration; choose or empty another folder`,
    );
  }
  await replaceFile(file, [Buffer.from(`${JSON.stringify(config, null, 2)}\n`)]);
}

async function writeHistory(config: TrainingConfig, { epochs }: History): Promise<void> {
  const lines = epochs.map((record) => `${JSON.stringify(record)}\n`);
  await replaceFile(path.join(config.output, 'history.jsonl'), [Buffer.from(lines.join(''))]);
}

/**
 * `fluxion train config.json`: trains, or continues a run that was interrupted, and writes
 * model.safetensors, config.json and history.jsonl into the output folder.
 */
export async function trainCommand(file: string): Promise<void> {
  const config = await readConfig(file);
  manualSeed(config.seed);
  const model = makeModel(config.model);
  const [loader, test] = await makeLoaders(config);
  const optimizer = makeOptimizer(config, model);
  const scheduler = makeScheduler(config, optimizer, config.epochs * loader.length);
  await claimFolder(config);
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  process.once('SIGINT', interrupt);
  const history = await fit(model, loader, {
    ...{ optimizer, scheduler, epochs: config.epochs, signal: controller.signal },
    loss: (output, target) => crossEntropy(output, target),
    metrics: { accuracy },
    verbose: true,
    checkpoint: { path: path.join(config.output, 'checkpoint'), every: { steps: 200 } },
    callbacks: { onEpoch: (_, current) => writeHistory(config, current) },
  });
  process.off('SIGINT', interrupt);
  if (history.aborted) {
    console.log('interrupted; the same command continues this run');
    process.exitCode = INTERRUPTED;
    return;
  }
  await writeHistory(config, history);
  await saveModel(model, config.output);
  const result = await evaluate(model, test, { metrics: { accuracy } });
  console.log(`test accuracy ${(100 * result.accuracy!).toFixed(2)} %`);
}
