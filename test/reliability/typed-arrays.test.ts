// Memory of JavaScript that is shared, transferred away, or changes its size: right values or clear errors.
import { type FluxionError, memory, tensor, tidy } from '../../lib';
import { DataLoader } from '../../lib/data';

interface Resizable extends ArrayBuffer {
  resize(bytes: number): void;
}
interface Growable extends SharedArrayBuffer {
  grow(bytes: number): void;
}

// TypeScript's own declarations of resizable buffers come with a later language version than the one used here.
const resizable = (bytes: number, most: number): Resizable =>
  new (ArrayBuffer as unknown as new (n: number, o: object) => Resizable)(bytes, {
    maxByteLength: most,
  });
const growable = (bytes: number, most: number): Growable =>
  new (SharedArrayBuffer as unknown as new (n: number, o: object) => Growable)(bytes, {
    maxByteLength: most,
  });

function errorOf(run: () => unknown): FluxionError {
  try {
    run();
  } catch (error) {
    return error as FluxionError;
  }
  throw new Error('no error');
}

/** TypeScript's constructors of typed arrays take no shared memory here. */
type ArrayOverAny = new (
  from: number | ArrayBufferLike,
  begin?: number,
  length?: number,
) => Float32Array;

const valuesOf = (make: () => ReturnType<typeof tensor>) => tidy(() => [...make().dataSync()]);

describe.each([
  ['Float32Array', Float32Array],
  ['Float64Array', Float64Array],
  ['Int32Array', Int32Array],
  ['Uint8Array', Uint8Array],
] as const)('%s', (_, array) => {
  test('over shared memory', () => {
    const shared = new (array as unknown as ArrayOverAny)(new SharedArrayBuffer(32), 8, 3);
    shared.set([1, 2, 3]);
    expect(valuesOf(() => tensor(shared))).toEqual([1, 2, 3]);
    const t = tensor(shared);
    shared.fill(9); // the tensor has its own copy
    expect([...t.dataSync()]).toEqual([1, 2, 3]);
    t.dispose();
  });

  test('over shared memory that grows', () => {
    const buffer = growable(16, 64);
    const all = new (array as unknown as ArrayOverAny)(buffer);
    const first = valuesOf(() => tensor(all));
    buffer.grow(64);
    expect(valuesOf(() => tensor(all))).toHaveLength(4 * first.length);
  });

  test('detached', () => {
    const detached = new array(4);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const before = memory().tensors;
    expect(errorOf(() => tensor(detached))).toMatchObject({
      code: 'FLUXION_INVALID_ARGUMENT',
      message: 'tensor: values must not be a detached array (it was transferred)',
    });
    expect(errorOf(() => tensor(detached, { shape: [4] })).code).toBe('FLUXION_INVALID_ARGUMENT');
    expect(memory().tensors).toBe(before);
  });

  test('over memory that shrinks', () => {
    const bytes = array.BYTES_PER_ELEMENT;
    const buffer = resizable(8 * bytes, 16 * bytes);
    const [whole, fixed] = [new array(buffer), new array(buffer, 0, 8)];
    whole.set([1, 2, 3, 4, 5, 6, 7, 8]);
    buffer.resize(3 * bytes);
    // An array without a length of its own follows the buffer.
    expect(valuesOf(() => tensor(whole))).toEqual([1, 2, 3]);
    // One with a length is out of bounds now: never its old memory, and no empty tensor that looks like data.
    expect(errorOf(() => tensor(fixed))).toMatchObject({
      code: 'FLUXION_INVALID_ARGUMENT',
      message: 'tensor: values must lie inside their buffer, which has been made smaller',
    });
    buffer.resize(16 * bytes);
    expect(valuesOf(() => tensor(whole))).toHaveLength(16);
    expect(valuesOf(() => tensor(fixed)).slice(0, 4)).toEqual([1, 2, 3, 0]);
  });
});

test('an empty array over a buffer that may change its size is empty', () => {
  expect(valuesOf(() => tensor(new Float32Array(resizable(16, 32), 16, 0)))).toEqual([]);
  expect(valuesOf(() => tensor(new Float32Array(0)))).toEqual([]);
});

test('a buffer that shrinks behind a tensor does not change it', async () => {
  const buffer = resizable(1 << 20, 1 << 20);
  const values = new Float32Array(buffer).fill(3);
  // Work before it, so that the copy waits in the queue.
  const busy = tidy(() => {
    let y = tensor(new Float32Array(1 << 16).fill(1), { shape: [256, 256] });
    for (let i = 0; i < 4; i++) y = y.matmul(y).mul(1 / 256);
    return y;
  });
  const t = tensor(values);
  buffer.resize(16);
  const data = await t.data();
  expect([data.length, data[0], data.at(-1)]).toEqual([1 << 18, 3, 3]);
  busy.dispose();
  t.dispose();
});

test('a loader reads shared memory', async () => {
  const shared = new Float32Array(new SharedArrayBuffer(32));
  shared.set([0, 1, 2, 3, 4, 5, 6, 7]);
  const loader = new DataLoader({ arrays: [{ data: shared, shape: [4, 2] }] }, { batchSize: 4 });
  for await (const [batch] of loader) {
    expect([...(await batch!.data())]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    batch!.dispose();
  }
});
