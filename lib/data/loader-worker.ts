// The program of a DataLoader's worker thread; loader-pool.ts is the other side. It does not load the addon.
import { parentPort, workerData } from 'node:worker_threads';
import { FluxionError } from '../errors';
import { BatchMaker } from './batch-maker';
import type { HostArray } from './host-array';
import type { BatchReply, BatchRequest, WorkerStart } from './loader-messages';
import { SpareBuffers, buffersOf } from './spare-buffers';

const port = parentPort!;
const { source, stages } = workerData as WorkerStart;
const maker = new BatchMaker(source, stages);

const spare = new SpareBuffers();

async function answer({ id, place, batch, stop, used }: BatchRequest): Promise<void> {
  spare.keep(used);
  if (Atomics.load(stop, 0) !== 0) {
    port.postMessage({ id, arrays: [] } satisfies BatchReply);
    return;
  }
  const { allocate, issued } = spare.lend();
  const arrays = (await maker.make(place, batch, allocate)).map(({ data, shape }): HostArray => {
    const own = issued.has(data.buffer as ArrayBuffer);
    if (own) return { data, shape };
    // A user's function may keep what it returned: only our buffers are given away.
    const copy = allocate(data, data.length);
    copy.set(data);
    return { data: copy, shape };
  });
  const sent = buffersOf(arrays);
  spare.keep([...issued].filter((buffer) => !sent.has(buffer)));
  port.postMessage({ id, arrays } satisfies BatchReply, [...sent]);
}

/** An error as data: classes do not survive the way. */
function describe(error: unknown): BatchReply['error'] {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, op } = error as Partial<FluxionError>;
  const known = error instanceof FluxionError || error.name === 'FluxionError';
  return { message: error.message, stack: error.stack, ...(known ? { code, op } : {}) };
}

// One after the other, so that batches are ready in the order in which they are asked for.
let before: Promise<void> = Promise.resolve();
port.on('message', (request: BatchRequest) => {
  before = before
    .then(() => answer(request))
    .catch((error: unknown) => {
      port.postMessage({ id: request.id, arrays: [], error: describe(error) } satisfies BatchReply);
    });
});
