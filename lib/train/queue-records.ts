import { FluxionError } from '../errors';
import { deviceName } from '../tensor/device';
import { profiling } from '../tensor/profiling';
import { type OpShapes, flopsOf } from './op-cost';

/** A kernel or a copy as a device's queue ran it. */
export interface QueueRecord extends OpShapes {
  /** Id of the op; 'read' and 'write' are copies to and from JavaScript, 'replay' is a captured step. */
  op: string;
  /** 'cpu', 'cuda:0', ... */
  device: string;
  /** Microseconds since the start. */
  begin: number;
  end: number;
  /** The calling thread ran it, because the queue was empty and the work little. */
  inlined: boolean;
  /** Of the distinct elements of all operands. */
  bytes: number;
  flops: number | undefined;
}

/** As kShapeStride in native/bindings/profiling.cpp. */
const SHAPE_STRIDE = 9;
const FIRST_SHAPE = 6;
const SHAPES = 5;
/** -1, -2, -3 in the place of an op: native/backend/profile_record.h. */
const NOT_OPS = ['read', 'write', 'replay'] as const;

let recording = false;

/** Begins to record what the queues of all devices run. One recording at a time. */
export function startRecording(op: string, capacity: number): void {
  if (recording) {
    throw new FluxionError(
      'FLUXION_INVALID_ARGUMENT',
      op,
      'another profile or summary is being taken',
    );
  }
  profiling.start(capacity);
  recording = true;
}

/** Waits for the queues: the number of records so far. */
export function recordCount(): number {
  return profiling.mark();
}

/** Ends the recording; `dropped` counts what did not fit. */
export function stopRecording(): { records: QueueRecord[]; dropped: number } {
  recording = false;
  const { records, stride, dropped } = profiling.stop();
  const list: QueueRecord[] = [];
  for (let at = 0; at < records.length; at += stride)
    list.push(parse(records.subarray(at, at + stride)));
  return { records: list, dropped };
}

function parse(numbers: Float64Array): QueueRecord {
  const [number, begin, end, inlined, bytes, device] = numbers as unknown as number[];
  const shapes = Array.from({ length: SHAPES }, (_, i) => {
    const at = FIRST_SHAPE + SHAPE_STRIDE * i;
    const ndim = numbers[at]!;
    return ndim < 0 ? undefined : Array.from(numbers.subarray(at + 1, at + 1 + ndim));
  });
  const op = number! < 0 ? NOT_OPS[-number! - 1]! : profiling.nameOf(number!);
  const known: OpShapes = { inputs: shapes.slice(0, -1), output: shapes.at(-1) };
  const flops = flopsOf(op, known);
  return {
    ...{ op, device: deviceName(device!), begin: begin!, end: end! },
    ...{ inlined: inlined === 1, bytes: bytes!, ...known, flops },
  };
}
