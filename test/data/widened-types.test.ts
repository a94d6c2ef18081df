// Element types that tensors do not have, in npy, npz and safetensors files.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { DType } from '../../lib/tensor/dtype';
import { tensor } from '../../lib/ops';
import { loadNpy, loadNpz, loadSafetensors, saveNpz, saveSafetensors } from '../../lib/data';
import { safetensors, temporaryFolder } from './files';

const at = temporaryFolder();

function npy(descr: string, shape: string, elements: ArrayBufferView, fortran = false): Buffer {
  const order = fortran ? 'True' : 'False';
  const text = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const header = Buffer.from(`${text.padEnd(117)}\n`);
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length, 0]);
  const { buffer, byteOffset, byteLength } = elements;
  return Buffer.concat([start, header, Buffer.from(buffer, byteOffset, byteLength)]);
}

const halves: [number, number][] = [
  [0x0000, 0],
  [0x8000, -0],
  [0x0001, 2 ** -24],
  [0x03ff, 1023 * 2 ** -24],
  [0x0400, 2 ** -14],
  [0x3c00, 1],
  [0x3555, 0.333251953125],
  [0xc000, -2],
  [0x7bff, 65504],
  [0x7c00, Infinity],
  [0xfc00, -Infinity],
  [0x7e01, NaN],
];
const brains: [number, number][] = [
  [0x3f80, 1],
  [0xc0a0, -5],
  [0x0001, 2 ** -133],
  [0x7f80, Infinity],
  [0x7fc0, NaN],
];
const bitsOf = (pairs: [number, number][]) => Uint16Array.from(pairs, ([bits]) => bits);
const valuesOf = (pairs: [number, number][]) => pairs.map(([, value]) => value);

const TYPES: [npy: string, st: string, dtype: DType, elements: ArrayBufferView, number[]][] = [
  ['|b1', 'BOOL', 'uint8', Uint8Array.of(0, 1), [0, 1]],
  ['|i1', 'I8', 'int32', Int8Array.of(-128, 127), [-128, 127]],
  ['<i2', 'I16', 'int32', Int16Array.of(-32768, 32767), [-32768, 32767]],
  ['<u2', 'U16', 'int32', Uint16Array.of(0, 65535), [0, 65535]],
  ['<u4', 'U32', 'int32', Uint32Array.of(0, 2 ** 31 - 1), [0, 2 ** 31 - 1]],
  ['<i8', 'I64', 'int32', BigInt64Array.of(-(2n ** 31n), 5n), [-(2 ** 31), 5]],
  ['<u8', 'U64', 'int32', BigUint64Array.of(0n, 7n), [0, 7]],
  ['<f2', 'F16', 'float32', bitsOf(halves), valuesOf(halves)],
  ['', 'BF16', 'float32', bitsOf(brains), valuesOf(brains)],
];

describe.each(TYPES)('%s, %s to %s', (descr, code, dtype, elements, expected) => {
  const { buffer, byteOffset, byteLength } = elements;
  const bytes = Buffer.from(buffer, byteOffset, byteLength);

  test('safetensors', async () => {
    const shape = [expected.length];
    const header = { a: { dtype: code, shape, data_offsets: [0, bytes.length] } };
    writeFileSync(at('a'), safetensors(header, bytes));
    const { a } = (await loadSafetensors(at('a'))).tensors;
    expect([a!.dtype, ...a!.dataSync()]).toEqual([dtype, ...expected]);
  });

  if (descr === '') return;
  test('npy in both byte orders', async () => {
    const shape = `(${expected.length},)`;
    writeFileSync(at('a.npy'), npy(descr, shape, bytes));
    const a = await loadNpy(at('a.npy'));
    expect([a.dtype, ...a.dataSync()]).toEqual([dtype, ...expected]);
    const swapped = Buffer.from(bytes);
    const width = Number(descr.at(-1));
    if (width === 2) swapped.swap16();
    if (width === 4) swapped.swap32();
    if (width === 8) swapped.swap64();
    writeFileSync(at('b.npy'), npy(descr.replace('<', '>'), shape, swapped));
    expect([...(await loadNpy(at('b.npy'))).dataSync()]).toEqual(expected);
  });
});

test('Fortran order', async () => {
  writeFileSync(at('f.npy'), npy('<i2', '(2, 3)', Int16Array.of(1, 4, 2, 5, 3, 6), true));
  const a = await loadNpy(at('f.npy'));
  expect([a.shape, [...a.dataSync()]]).toEqual([
    [2, 3],
    [1, 2, 3, 4, 5, 6],
  ]);
});

describe('integers beyond int32', () => {
  const big = BigInt64Array.of(1n, 2n ** 53n + 2n);
  test('are an error that says what to do', async () => {
    writeFileSync(at('i.npy'), npy('<i8', '(2,)', big));
    await expect(loadNpy(at('i.npy'))).rejects.toMatchObject({
      code: 'FLUXION_UNSUPPORTED',
      message: expect.stringMatching(
        /int64 values must fit int32, value 1 is .*'float64'/,
      ) as string,
    });
    writeFileSync(at('u.npy'), npy('<u4', '(1,)', Uint32Array.of(2 ** 31)));
    await expect(loadNpy(at('u.npy'))).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
  });

  test('become float64 on request', async () => {
    writeFileSync(at('i.npy'), npy('<i8', '(2,)', big));
    const a = await loadNpy(at('i.npy'), { wideIntegers: 'float64' });
    expect([a.dtype, ...a.dataSync()]).toEqual(['float64', 1, 2 ** 53 + 2]);
    await expect(loadNpy(at('i.npy'), { wideIntegers: 'int64' as never })).rejects.toThrow(
      "wideIntegers must be 'int32' or 'float64', got 'int64'",
    );
    const bytes = new Uint8Array(big.buffer);
    const header = { n: { dtype: 'I64', shape: [2], data_offsets: [0, 16] } };
    writeFileSync(at('n'), safetensors(header, bytes));
    await expect(loadSafetensors(at('n'))).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
    const { n } = (await loadSafetensors(at('n'), { wideIntegers: 'float64' })).tensors;
    expect([...n!.dataSync()]).toEqual([1, 2 ** 53 + 2]);
  });
});

test('the counter of a batch normalization that PyTorch saved: int64 without dimensions', async () => {
  const header = {
    weight: { dtype: 'F32', shape: [1], data_offsets: [8, 12] },
    num_batches_tracked: { dtype: 'I64', shape: [], data_offsets: [0, 8] },
  };
  const bytes = Buffer.concat([
    Buffer.from(BigInt64Array.of(391n).buffer),
    Buffer.from(Float32Array.of(0.5).buffer),
  ]);
  writeFileSync(at('bn'), safetensors(header, bytes));
  const { tensors } = await loadSafetensors(at('bn'));
  expect([tensors.num_batches_tracked!.shape, tensors.num_batches_tracked!.item()]).toEqual([
    [],
    391,
  ]);
  await saveSafetensors(tensors, at('bn2'));
  expect((await loadSafetensors(at('bn2'))).tensors.num_batches_tracked!.item()).toBe(391);
});

describe('saveNpz', () => {
  const tensors = {
    'a/b': tensor([[1, 2, 3]]),
    ü: tensor([1, 2], { dtype: 'int32' }),
    scalar: tensor(3, { dtype: 'float64' }),
    empty: tensor(new Uint8Array(0), { shape: [0, 2] }),
  };

  test('round-trips, and is the same bytes each time', async () => {
    await saveNpz(tensors, at('t.npz'));
    const first = readFileSync(at('t.npz'));
    await saveNpz(tensors, at('t.npz'));
    expect(readFileSync(at('t.npz')).equals(first)).toBe(true);
    const loaded = await loadNpz(at('t.npz'));
    expect(Object.keys(loaded)).toEqual(Object.keys(tensors));
    for (const [name, saved] of Object.entries(tensors)) {
      const got = loaded[name]!;
      expect([got.dtype, got.shape, [...got.dataSync()]]).toEqual([
        saved.dtype,
        saved.shape,
        [...saved.dataSync()],
      ]);
    }
  });

  const python = process.env.FLUXION_BENCH_PYTHON ?? 'python3';
  const hasNumpy = () => {
    try {
      execFileSync(python, ['-c', 'import numpy'], { stdio: 'ignore' });
      return true;
    } catch {
      console.log('skipped: no Python with NumPy');
      return false;
    }
  };
  test('NumPy reads it', async () => {
    if (!hasNumpy()) return;
    await saveNpz(tensors, at('p.npz'));
    const program =
      'import numpy, sys; z = numpy.load(sys.argv[1]); print({k: (str(z[k].dtype), z[k].shape, z[k].tolist()) for k in z.files})';
    const text = execFileSync(python, ['-c', program, at('p.npz')], { encoding: 'utf8' });
    expect(text.trim()).toBe(
      "{'a/b': ('float32', (1, 3), [[1.0, 2.0, 3.0]]), 'ü': ('int32', (2,), [1, 2]), " +
        "'scalar': ('float64', (), 3.0), 'empty': ('uint8', (0, 2), [])}",
    );
  });

  test('what is no tensor is refused', async () => {
    await expect(saveNpz({ a: 3 as never }, at('x.npz'))).rejects.toThrow("'a' must be a tensor");
    expect(existsSync(at('x.npz'))).toBe(false);
  });
});
