import { requireArgument } from '../errors';
import { type Tensor, isTensor } from '../tensor/tensor';
import { type FieldOptions, paintFields, savePictureGrid } from './field-image';
import { type ChartSpec, saveFigure } from './figure';
import type { History } from './history';

/** Points of a curve of many steps: more would not be seen. */
const MAX_POINTS = 500;

/**
 * Writes the course of a run as an image: the loss of the steps (a mean over neighbours where there are
 * many), the learning rate, and the metrics and validation of the epochs. SVG or PNG by the ending of
 * `file`; packages and errors as {@link saveFigure}.
 */
export async function saveCurves(history: History, file: string): Promise<void> {
  requireArgument(
    history.losses.length > 0,
    'saveCurves',
    'the history must have at least one step',
  );
  const charts = [lossChart(history), ...metricCharts(history), rateChart(history)];
  await saveFigure(
    charts.map((chart) => ({ chart })),
    file,
  );
}

const SIZE = { width: 480, height: 160 };

/** Means over groups of neighbours, at most MAX_POINTS of them. */
function thin(values: readonly number[]): { step: number; value: number }[] {
  const group = Math.ceil(values.length / MAX_POINTS);
  return Array.from({ length: Math.ceil(values.length / group) }, (_, i) => {
    const part = values.slice(i * group, (i + 1) * group);
    return { step: i * group + part.length, value: part.reduce((a, b) => a + b, 0) / part.length };
  });
}

function stepsPerEpoch({ losses, epochs }: History): number {
  return epochs.length > 0 ? losses.length / epochs.length : losses.length;
}

interface Point {
  series: string;
  step: number;
  value: number;
}

function lines(title: string, values: Point[], { log = false, epochs = false } = {}): ChartSpec {
  const axis = epochs ? { axis: { tickMinStep: 1 } } : {};
  const scale = log ? { type: 'log', nice: false } : { zero: false };
  return {
    ...SIZE,
    data: { values: values.filter(({ value }) => Number.isFinite(value)) },
    mark: { type: 'line', point: epochs },
    encoding: {
      x: { field: 'step', type: 'quantitative', title: epochs ? 'epoch' : 'step', ...axis },
      y: { field: 'value', type: 'quantitative', title, scale },
      color: { field: 'series', type: 'nominal', title: null },
    },
  };
}

function lossChart(history: History): ChartSpec {
  const training = thin(history.losses).map((point) => ({ series: 'training', ...point }));
  const per = stepsPerEpoch(history);
  const validation = history.epochs.flatMap(({ epoch, validation }) =>
    validation?.loss === undefined
      ? []
      : [{ series: 'validation', step: epoch * per, value: validation.loss }],
  );
  const all = [...training, ...validation];
  return lines('loss', all, { log: all.every(({ value }) => value > 0) });
}

function metricCharts(history: History): ChartSpec[] {
  const names = Object.keys(history.epochs[0]?.metrics ?? {});
  return names.map((name) => {
    const values = history.epochs.flatMap(({ epoch, metrics, validation }) => [
      { series: 'training', step: epoch, value: metrics[name] ?? NaN },
      { series: 'validation', step: epoch, value: validation?.[name] ?? NaN },
    ]);
    return lines(name, values, { epochs: true });
  });
}

function rateChart(history: History): ChartSpec {
  const values = thin(history.learningRates).map((point) => ({
    series: 'learning rate',
    ...point,
  }));
  return lines('learning rate', values);
}

/**
 * Writes 2-d fields as pictures in a grid: tensors [H, W], or [N, H, W] for N pictures. A PNG needs no
 * other package; with titles, and for an SVG, the packages of {@link saveFigure}.
 */
export async function saveFieldImages(
  fields: Tensor | readonly Tensor[],
  file: string,
  options: FieldOptions = {},
): Promise<void> {
  if (options.titles || !file.toLowerCase().endsWith('.png')) {
    await saveFigure([{ fields, ...options }], file);
    return;
  }
  const { pictures, columns } = await paintFields(isTensor(fields) ? [fields] : fields, options);
  await savePictureGrid(pictures, columns, file);
}
