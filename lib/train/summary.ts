import { FluxionError, requireArgument, show } from '../errors';
import { requireShape } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { zeros } from '../ops/creation';
import type { Module } from '../nn';
import type { Model } from './metrics';
import { recordCount, startRecording, stopRecording } from './queue-records';
import { shortCount, textTable } from './text-table';

/** A module of a network; what its children do is not counted again. */
export interface SummaryRow {
  /** Path of the module: 'blocks.0.conv'; '' is the network itself. */
  name: string;
  /** Name of its class. */
  type: string;
  /** Of the last call; undefined where the output is no tensor. */
  outputShape: readonly number[] | undefined;
  /** Values of its own trainable tensors. Tied ones count where they come first. */
  parameters: number;
  /** Floating-point operations of its own ops, all calls; a multiply-add is two. */
  flops: number;
  /** Bytes that its own ops read and wrote, each operand once. */
  bytes: number;
  /** How often forward ran. */
  calls: number;
}

export interface Summary {
  /** The modules in the order in which their forward began. */
  rows: SummaryRow[];
  /** Trainable values. */
  parameters: number;
  /** Values of buffers: running statistics and the like. */
  buffers: number;
  flops: number;
  bytes: number;
  /** The rows as a table. */
  toString(): string;
}

interface Entry extends SummaryRow {
  /** Records [begin, end) of each call, children included. */
  spans: [number, number][];
}

/** Records of one forward pass. */
const CAPACITY = 200_000;

/**
 * What the layers of a network are and cost, from one forward pass in eval mode: shapes, trainable values, and the
 * floating-point operations and bytes of the ops that the device ran for each.
 *
 * `input` is what forward takes: a tensor, a list of tensors, or the shape of a float32 tensor of zeros. The
 * counting rules are those of {@link profile}; ops of which the operations are not counted add bytes only.
 *
 * @example console.log(String(train.summary(model, [1, 1, 28, 28])));
 */
export function summary(
  model: Model,
  input: Tensor | readonly Tensor[] | readonly number[],
): Summary {
  requireArgument(
    typeof model?.forward === 'function' && typeof model.modules === 'function',
    'summary',
    () => `model must be a module, got ${show(model)}`,
  );
  const entries = entriesOf(model);
  const order: Entry[] = [];
  const restore = [...entries].map(([module, entry]) => watch(module, entry, order));
  const wasTraining = [...model.modules()].map((module) => [module, module.training] as const);
  let records: ReturnType<typeof stopRecording>;
  startRecording('summary', CAPACITY);
  try {
    noGrad(() => tidy(() => void model.eval().forward(...inputsOf(input))));
  } finally {
    records = stopRecording();
    for (const undo of restore) undo();
    for (const [module, training] of wasTraining) module.training = training;
  }
  if (records.dropped > 0) {
    throw new FluxionError(
      'FLUXION_UNSUPPORTED',
      'summary',
      `the forward pass must run at most ${CAPACITY} ops, got ${CAPACITY + records.dropped}`,
    );
  }
  return total(model, order, records.records);
}

function inputsOf(input: Tensor | readonly Tensor[] | readonly number[]): Tensor[] {
  if (isTensor(input)) return [input];
  const list = input as readonly unknown[];
  if (Array.isArray(list) && list.length > 0 && list.every(isTensor)) return [...list];
  requireShape('summary', input);
  return [zeros(input)];
}

/** The modules by path; one that appears twice has its first path. */
function entriesOf(model: Module): Map<Module, Entry> {
  const entries = new Map<Module, Entry>();
  const seen = new Set<Tensor>();
  const visit = (module: Module, name: string) => {
    if (entries.has(module)) return;
    const own = ownParameters(module).filter((tensor) => !seen.has(tensor));
    for (const tensor of own) seen.add(tensor);
    entries.set(module, {
      ...{ name, type: module.constructor.name, outputShape: undefined, calls: 0 },
      ...{ flops: 0, bytes: 0, spans: [] },
      parameters: own.reduce((sum, tensor) => sum + tensor.size, 0),
    });
    for (const [child, value] of module.namedChildren())
      visit(value, name === '' ? child : `${name}.${child}`);
  };
  visit(model, '');
  return entries;
}

/** Trainable tensors among the properties of the module itself. */
function ownParameters(module: Module): Tensor[] {
  const children = new Set(
    [...module.namedChildren()].flatMap(([, child]) => [...child.parameters()]),
  );
  return module.parameters().filter((tensor) => !children.has(tensor));
}

/** Notes the calls of a module's forward; gives back how to undo it. */
function watch(module: Module, entry: Entry, order: Entry[]): () => void {
  const own = Object.getOwnPropertyDescriptor(module, 'forward');
  const watchedModule: { forward: unknown } = module;
  const forward = watchedModule.forward as (this: Module, ...inputs: unknown[]) => unknown;
  const watched = (...inputs: unknown[]) => {
    if (entry.calls++ === 0) order.push(entry);
    const begin = recordCount();
    try {
      const output = forward.call(module, ...inputs);
      if (isTensor(output)) entry.outputShape = output.shape;
      return output;
    } finally {
      entry.spans.push([begin, recordCount()]);
    }
  };
  Object.defineProperty(module, 'forward', { value: watched, configurable: true, writable: true });
  return () => {
    if (own) Object.defineProperty(module, 'forward', own);
    else delete (module as { forward?: unknown }).forward;
  };
}

function total(
  model: Module,
  order: readonly Entry[],
  records: ReturnType<typeof stopRecording>['records'],
): Summary {
  // Each record belongs to the innermost call around it: later spans that contain it are deeper.
  const owner = new Array<Entry | undefined>(records.length);
  const spans = order.flatMap((entry) => entry.spans.map((span) => ({ entry, span })));
  spans.sort((a, b) => b.span[1] - b.span[0] - (a.span[1] - a.span[0]));
  for (const { entry, span } of spans) owner.fill(entry, ...span);
  records.forEach(({ flops = 0, bytes }, i) => {
    const entry = owner[i];
    if (!entry) return; // making the input
    entry.flops += flops;
    entry.bytes += bytes;
  });
  const rows = order.map(({ spans: _spans, ...row }): SummaryRow => row);
  const sum = (of: (row: SummaryRow) => number) => rows.reduce((all, row) => all + of(row), 0);
  const result = {
    rows,
    parameters: model.parameterCount(),
    buffers: [...model.namedBuffers()].reduce((all, [, tensor]) => all + tensor.size, 0),
    flops: sum((row) => row.flops),
    bytes: sum((row) => row.bytes),
  };
  return { ...result, toString: () => describe(result) };
}

function describe({ rows, parameters, buffers, flops, bytes }: Omit<Summary, 'toString'>): string {
  const head = ['layer', 'type', 'output', 'parameters', 'FLOPs', 'bytes'];
  const body = rows.map((row) => [
    row.name === '' ? '(network)' : row.name,
    row.calls > 1 ? `${row.type} x ${row.calls}` : row.type,
    row.outputShape ? `[${row.outputShape.join(', ')}]` : '',
    String(row.parameters),
    shortCount(row.flops),
    shortCount(row.bytes),
  ]);
  return [
    textTable([head, ...body], 3),
    `trainable ${parameters}, buffers ${buffers}, ${shortCount(flops)}FLOP, ${shortCount(bytes)}B forward`,
  ].join('\n');
}
