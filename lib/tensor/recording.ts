import { native } from '../native';
import { FluxionError } from '../errors';

/** Parameters of a launch that the host gives anew for each replay: a learning rate, a seed. */
interface Refresh {
  readonly launch: number;
  readonly op: number;
  readonly params: () => object;
}

/** A step that is being recorded into a graph of the device. */
interface Recording {
  readonly device: number;
  readonly refreshes: Refresh[];
}

let recording: Recording | null = null;
/** Graphs that are there, by device. */
const graphs = new Map<number, number>();

/** Whether tensors of a device must stay in their memory: a graph, made or being made, refers to it. */
export function isPinned(device: number): boolean {
  return recording?.device === device || (graphs.get(device) ?? 0) > 0;
}

function countGraph(device: number, by: 1 | -1): void {
  graphs.set(device, (graphs.get(device) ?? 0) + by);
}

/** Throws where values of the device are asked for while a step is recorded: they do not exist yet. */
export function refuseWhileRecording(op: string): void {
  if (recording === null) return;
  throw new FluxionError(
    'FLUXION_UNSUPPORTED',
    op,
    'values cannot be read in a captured step; return the tensor and read it after the call',
  );
}

/**
 * Runs an op whose parameters change from step to step although its tensors do not. In a recorded step
 * `params` is asked again for each replay, in the order of the step.
 */
export function runRefreshed<P extends object, T>(
  op: number,
  params: () => P,
  run: (params: P) => T,
): T {
  const result = run(params());
  if (recording !== null) {
    const launch = native.captureLaunches(recording.device) - 1;
    recording.refreshes.push({ launch, op, params });
  }
  return result;
}

/** A recorded step. */
export class Graph {
  private constructor(
    private readonly id: number,
    private readonly device: number,
    private readonly refreshes: readonly Refresh[],
  ) {}

  /** Records what fn launches on a device; nothing of it runs. */
  static record(device: number, fn: () => void): Graph {
    native.captureBegin(device);
    recording = { device, refreshes: [] };
    const { refreshes } = recording;
    try {
      fn();
    } catch (error) {
      native.captureAbandon(device);
      throw error;
    } finally {
      recording = null;
    }
    const id = native.captureEnd(device);
    countGraph(device, 1);
    return new Graph(id, device, refreshes);
  }

  /** Runs the step once. `first`: directly after recording, with the parameters of then. */
  replay(first = false): void {
    if (!first) {
      for (const { launch, op, params } of this.refreshes) {
        native.graphUpdate(this.id, launch, op, params());
      }
    }
    native.graphReplay(this.id);
  }

  dispose(): void {
    native.graphRelease(this.id);
    countGraph(this.device, -1);
  }
}
