import type { ErrorCode } from '../errors';
import type { MakerSource, Stage } from './batch-maker';
import type { HostArray } from './host-array';
import type { BatchPlace } from './transform';

/** What a worker starts with. */
export interface WorkerStart {
  source: MakerSource;
  stages: readonly Stage[];
}

export interface BatchRequest {
  id: number;
  place: BatchPlace;
  batch: number;
  /** Not 0 in shared memory: nobody wants the batch any more. */
  stop: Int32Array;
  /** Buffers of earlier batches, for the worker to use again. */
  used: ArrayBuffer[];
}

export interface BatchReply {
  id: number;
  arrays: HostArray[];
  error?: { message: string; stack?: string; code?: ErrorCode; op?: string };
}
