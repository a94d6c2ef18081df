import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { FluxionError, show } from '../errors';

/** What `fluxion train` reads from a JSON file. Paths are relative to that file. */
export interface TrainingConfig {
  model: { name: string; options: Record<string, unknown> };
  data: {
    format: 'idx';
    images: string;
    labels: string;
    testImages: string;
    testLabels: string;
  };
  /** Folder of the results: weights, configuration, history, checkpoint. */
  output: string;
  epochs: number;
  batchSize: number;
  optimizer: 'sgd' | 'adam' | 'adamw';
  learningRate: number;
  weightDecay: number;
  schedule: 'constant' | 'cosine' | 'one-cycle';
  seed: number;
}

/** What a value must be: a test and its words; with a default it may be left out. */
interface Field {
  requirement: string;
  holds: (value: unknown) => boolean;
  default?: unknown;
}

const isText = (value: unknown) => typeof value === 'string' && value !== '';
const isInteger = (least: number) => (value: unknown) =>
  Number.isSafeInteger(value) && (value as number) >= least;
const isRate = (value: unknown) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isObject = (value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const file: Field = { requirement: 'the path of a file', holds: isText };
const oneOf = (...names: string[]): Omit<Field, 'default'> => ({
  requirement: `one of ${names.join(', ')}`,
  holds: (value) => names.includes(value as string),
});

const TOP: Record<keyof TrainingConfig, Field> = {
  model: { requirement: 'an object { name, options }', holds: isObject },
  data: { requirement: 'an object { format, images, labels, ... }', holds: isObject },
  output: { requirement: 'the path of a folder', holds: isText },
  epochs: { requirement: 'an integer > 0', holds: isInteger(1), default: 3 },
  batchSize: { requirement: 'an integer > 0', holds: isInteger(1), default: 128 },
  optimizer: { ...oneOf('sgd', 'adam', 'adamw'), default: 'adamw' },
  learningRate: { requirement: 'a number >= 0', holds: isRate, default: 0.003 },
  weightDecay: { requirement: 'a number >= 0', holds: isRate, default: 0.01 },
  schedule: { ...oneOf('constant', 'cosine', 'one-cycle'), default: 'one-cycle' },
  seed: { requirement: 'an integer >= 0', holds: isInteger(0), default: 0 },
};
const MODEL: Record<keyof TrainingConfig['model'], Field> = {
  name: { requirement: 'the name of a model', holds: isText },
  options: { requirement: 'an object', holds: isObject, default: {} },
};
const DATA: Record<keyof TrainingConfig['data'], Field> = {
  format: { ...oneOf('idx'), default: 'idx' },
  images: file,
  labels: file,
  testImages: file,
  testLabels: file,
};

function invalid(where: string, detail: string): FluxionError {
  return new FluxionError('FLUXION_INVALID_ARGUMENT', 'train', `${where}: ${detail}`);
}

/** Checks an object against its fields; unknown keys are errors. */
function check(
  where: string,
  prefix: string,
  given: object,
  fields: Record<string, Field>,
): object {
  const unknown = Object.keys(given).find((key) => !Object.hasOwn(fields, key));
  if (unknown !== undefined) {
    throw invalid(
      where,
      `there is no key '${prefix}${unknown}'; keys are ${Object.keys(fields).join(', ')}`,
    );
  }
  const entries = Object.entries(fields).map(([key, field]) => {
    const value = (given as Record<string, unknown>)[key] ?? field.default;
    if (!field.holds(value)) {
      throw invalid(where, `'${prefix}${key}' must be ${field.requirement}, got ${show(value)}`);
    }
    return [key, value] as const;
  });
  return Object.fromEntries(entries);
}

/** The configuration that JSON text holds, its paths made absolute. */
export function parseConfig(where: string, text: string): TrainingConfig {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw invalid(where, `must be JSON: ${(error as Error).message}`);
  }
  if (!isObject(given)) throw invalid(where, `must be a JSON object, got ${show(given)}`);
  const config = check(where, '', given as object, TOP) as TrainingConfig;
  const model = check(where, 'model.', config.model, MODEL) as TrainingConfig['model'];
  const { format, ...files } = check(where, 'data.', config.data, DATA) as TrainingConfig['data'];
  const absolute = (name: string) => path.resolve(path.dirname(where), name);
  const paths = Object.entries(files).map(([key, name]) => [key, absolute(name)]);
  return {
    ...config,
    model,
    data: { format, ...(Object.fromEntries(paths) as typeof files) },
    output: absolute(config.output),
  };
}

export async function readConfig(where: string): Promise<TrainingConfig> {
  return parseConfig(where, await readFile(where, 'utf8'));
}
