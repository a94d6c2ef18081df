import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { FluxionError } from '../errors';
import type { HostArray } from './host-array';
import type { BatchReply, BatchRequest, WorkerStart } from './loader-messages';
import { buffersOf } from './spare-buffers';

interface Pending {
  resolve(arrays: HostArray[]): void;
  reject(error: Error): void;
}

/** One worker thread and the batches it owes. It keeps the process alive only while it owes some. */
class LoaderWorker {
  private readonly worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private used: ArrayBuffer[] = [];
  private nextId = 0;
  /** Why it makes no more batches. */
  private ended: FluxionError | null = null;

  constructor(start: WorkerStart) {
    this.worker = new Worker(path.join(__dirname, 'loader-worker.js'), { workerData: start });
    this.worker.unref();
    this.worker.on('message', (reply: BatchReply) => this.settle(reply));
    this.worker.on('messageerror', (error) => this.end('cannot be understood', error));
    this.worker.on('error', (error: Error) => this.end(`failed: ${error.message}`, error));
    this.worker.on('exit', (code) => this.end(`ended with exit code ${code}`));
  }

  get alive(): boolean {
    return this.ended === null;
  }

  request(request: Omit<BatchRequest, 'id' | 'used'>): Promise<HostArray[]> {
    if (this.ended) return Promise.reject(this.ended);
    const id = this.nextId++;
    const { used } = this;
    this.used = [];
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.ref();
      this.worker.postMessage({ ...request, id, used } satisfies BatchRequest, used);
    });
  }

  /** Takes back buffers that have been read. */
  recycle(arrays: readonly HostArray[]): void {
    this.used.push(...buffersOf(arrays));
  }

  async close(): Promise<void> {
    this.end('was closed');
    await this.worker.terminate();
  }

  private settle({ id, arrays, error }: BatchReply): void {
    const waiting = this.pending.get(id)!;
    this.pending.delete(id);
    if (this.pending.size === 0) this.worker.unref();
    if (error) waiting.reject(errorOf(error));
    else waiting.resolve(arrays);
  }

  private end(how: string, cause?: unknown): void {
    if (this.ended) return;
    this.ended = new FluxionError('FLUXION_INTERNAL', 'DataLoader', `the worker ${how}`, { cause });
    for (const waiting of this.pending.values()) waiting.reject(this.ended);
    this.pending.clear();
  }
}

function errorOf({ message, stack, code, op }: NonNullable<BatchReply['error']>): FluxionError {
  const cause = Object.assign(new Error(message), { stack });
  if (code === undefined) {
    const detail = `making a batch in the worker failed: ${message}`;
    return new FluxionError('FLUXION_INVALID_ARGUMENT', 'DataLoader', detail, { cause });
  }
  const detail = op && message.startsWith(`${op}: `) ? message.slice(op.length + 2) : message;
  return new FluxionError(code, op ?? '', detail, { cause });
}

/** The workers of a loader; batches go to them in turn. A worker that has died is replaced. */
export class LoaderPool {
  private workers: LoaderWorker[] = [];

  constructor(
    private readonly start: WorkerStart,
    private readonly size: number,
  ) {}

  /** The worker for a batch. */
  workerFor(batch: number): LoaderWorker {
    const at = batch % this.size;
    const present = this.workers[at];
    if (present?.alive) return present;
    return (this.workers[at] = new LoaderWorker(this.start));
  }

  async close(): Promise<void> {
    const closing = Object.values(this.workers);
    this.workers = [];
    await Promise.all(closing.map((worker) => worker.close()));
  }
}

/** Closes the pool of a loader that has been collected. */
export const abandonedPools = new FinalizationRegistry((pool: LoaderPool) => void pool.close());
