import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { memory } from '../../lib/tensor/tensor';
import type { DType } from '../../lib/tensor/dtype';
import { tensor } from '../../lib/ops';
import {
  loadIdx,
  loadImage,
  loadNpy,
  loadNpz,
  loadSafetensors,
  saveImage,
  saveNpy,
  saveSafetensors,
} from '../../lib/data';
import {
  expectCorrupt,
  expectTruncationsRefused,
  fuzz,
  idx,
  safetensors,
  temporaryFolder,
} from './files';
import { zip } from './zip-writer';

const at = temporaryFolder();
const DTYPES: DType[] = ['float32', 'float64', 'int32', 'uint8'];

describe('IDX', () => {
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => 20 * i);
  const sound = idx(0x08, [3, 2, 2], bytes);

  test('bytes, plain and compressed', async () => {
    for (const content of [sound, gzipSync(sound)]) {
      writeFileSync(at('a'), content);
      const loaded = await loadIdx(at('a'));
      expect(loaded.dtype).toBe('uint8');
      expect(loaded.shape).toEqual([3, 2, 2]);
      expect([...loaded.dataSync()]).toEqual([...bytes]);
    }
  });

  test.each([
    [0x0c, 4, 'int32', [1, -2, 2 ** 30]],
    [0x0d, 4, 'float32', [0.5, -3, 1e10]],
    [0x0e, 8, 'float64', [0.1, -3, 1e300]],
  ] as const)('big-endian type %i', async (type, width, dtype, values) => {
    const elements = Buffer.alloc(width * values.length);
    values.forEach((value, i) => {
      if (dtype === 'int32') elements.writeInt32BE(value, 4 * i);
      else if (dtype === 'float32') elements.writeFloatBE(value, 4 * i);
      else elements.writeDoubleBE(value, 8 * i);
    });
    writeFileSync(at('b'), idx(type, [3], elements));
    const loaded = await loadIdx(at('b'));
    expect(loaded.dtype).toBe(dtype);
    expect([...loaded.dataSync()]).toEqual(
      values.map((v) => (dtype === 'float32' ? Math.fround(v) : v)),
    );
  });

  test('no elements', async () => {
    writeFileSync(at('c'), idx(0x08, [0, 28, 28], new Uint8Array(0)));
    expect((await loadIdx(at('c'))).shape).toEqual([0, 28, 28]);
  });

  test('truncated anywhere, plain and compressed', async () => {
    await expectTruncationsRefused(loadIdx, at('d'), sound);
    await expectTruncationsRefused(loadIdx, at('d'), gzipSync(sound));
  });

  test.each([
    ['trailing bytes', Buffer.concat([sound, Buffer.of(0)]), 'got more'],
    ['trailing bytes in gzip', gzipSync(Buffer.concat([sound, Buffer.of(0)])), 'got more'],
    ['wrong magic', Buffer.concat([Buffer.of(1), sound.subarray(1)]), 'got 01000803'],
    ['unknown type', idx(0x07, [1], Buffer.of(0)), 'type'],
    ['too many dimensions', idx(0x08, Array<number>(9).fill(1), Buffer.of(0)), 'ndim'],
    ['no dimensions', idx(0x08, [], Buffer.of(0)), 'ndim'],
    ['sizes above 2^31', idx(0x08, [0xffffffff, 0xffffffff], Buffer.of(0)), 'got at most 1'],
    [
      'sizes above 2^53',
      idx(0x0e, Array<number>(8).fill(0xffffffff), Buffer.of(0)),
      'got at most 1',
    ],
    [
      'more than gzip can hold',
      gzipSync(idx(0x08, [0x7fffffff], Buffer.of(0))),
      'must have 2147483647',
    ],
  ])('%s', async (_, content, message) => {
    await expectCorrupt(loadIdx, at('e'), content, message);
  });

  test('types that are not read are unsupported, not corrupt', async () => {
    writeFileSync(at('f'), idx(0x0b, [1], Buffer.of(0, 0)));
    await expect(loadIdx(at('f'))).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
  });

  test('a missing file is the error of the file system', async () => {
    await expect(loadIdx(at('missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('random changes', async () => {
    await fuzz(loadIdx, at('g'), sound);
    await fuzz(loadIdx, at('g'), gzipSync(sound));
  });
});

describe('npy', () => {
  test.each(DTYPES)('%s round-trips', async (dtype) => {
    for (const shape of [[], [3], [2, 3], [0, 2]]) {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: size }, (_, i) => i + 1);
      const saved = tensor(Float64Array.from(values), { shape, dtype });
      await saveNpy(saved, at('a.npy'));
      const loaded = await loadNpy(at('a.npy'));
      expect(loaded.dtype).toBe(dtype);
      expect(loaded.shape).toEqual(shape);
      expect([...loaded.dataSync()]).toEqual(values);
    }
  });

  const npy = (header: string, elements: Buffer, version = 1) => {
    const size = Buffer.alloc(version === 1 ? 2 : 4);
    if (version === 1) size.writeUInt16LE(header.length);
    else size.writeUInt32LE(header.length);
    const magic = Buffer.from('\x93NUMPY', 'latin1');
    return Buffer.concat([magic, Buffer.of(version, 0), size, Buffer.from(header), elements]);
  };
  const header = (descr: string, shape: string, fortran = 'False') =>
    `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;

  test('big-endian, version 2, bool', async () => {
    const elements = Buffer.alloc(8);
    elements.writeFloatBE(1.5, 0);
    elements.writeFloatBE(-2, 4);
    writeFileSync(at('b.npy'), npy(header('>f4', '(2,)'), elements, 2));
    expect([...(await loadNpy(at('b.npy'))).dataSync()]).toEqual([1.5, -2]);
    writeFileSync(at('b.npy'), npy(header('|b1', '(2, 1)'), Buffer.of(1, 0)));
    expect((await loadNpy(at('b.npy'))).dtype).toBe('uint8');
  });

  const sound = npy(header('<f4', '(2, 2)'), Buffer.alloc(16));

  test('truncated anywhere', () => expectTruncationsRefused(loadNpy, at('c.npy'), sound));

  test.each([
    ['trailing', Buffer.concat([sound, Buffer.of(0)]), 'got 17'],
    ['version', npy(header('<f4', '(1,)'), Buffer.alloc(4), 9), 'version'],
    ['no shape', npy("{'descr': '<f4', 'fortran_order': False}", Buffer.alloc(4)), 'shape'],
    ['overflow', npy(header('<f4', '(9007199254740991, 9)'), Buffer.alloc(4)), 'shape'],
  ])('%s', (_, bytes, message) => expectCorrupt(loadNpy, at('d.npy'), bytes, message));

  test('Fortran order', async () => {
    const columns = Buffer.from(Float32Array.of(0, 3, 1, 4, 2, 5).buffer);
    writeFileSync(at('e.npy'), npy(header('<f4', '(2, 3)', 'True'), columns));
    const loaded = await loadNpy(at('e.npy'));
    expect(loaded.shape).toEqual([2, 3]);
    expect([...loaded.dataSync()]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('complex numbers, also big-endian and in Fortran order', async () => {
    for (const dtype of ['complex64', 'complex128'] as const) {
      const values = [1, -2, 3, 4, 5.5, 6];
      await saveNpy(tensor(Float64Array.from(values), { dtype, shape: [3, 1] }), at('z.npy'));
      expect(readFileSync(at('z.npy'), 'latin1')).toContain(dtype === 'complex64' ? '<c8' : '<c16');
      const loaded = await loadNpy(at('z.npy'));
      expect([loaded.dtype, loaded.shape]).toEqual([dtype, [3, 1]]);
      expect([...loaded.dataSync()]).toEqual(values);
    }
    const elements = Buffer.alloc(32);
    [0, 1, 4, 5, 2, 3, 6, 7].forEach((v, i) => elements.writeFloatBE(v, 4 * i));
    writeFileSync(at('z.npy'), npy(header('>c8', '(2, 2)', 'True'), elements));
    expect([...(await loadNpy(at('z.npy'))).dataSync()]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await expectTruncationsRefused(
      loadNpy,
      at('z2.npy'),
      npy(header('<c8', '(1,)'), Buffer.alloc(8)),
    );
  });

  test('int64 becomes int32 where it fits', async () => {
    const longs = (...values: bigint[]) => Buffer.from(BigInt64Array.from(values).buffer);
    const limits = [2n ** 31n - 1n, -(2n ** 31n), -1n];
    writeFileSync(at('e.npy'), npy(header('<i8', '(3,)'), longs(...limits)));
    const loaded = await loadNpy(at('e.npy'));
    expect(loaded.dtype).toBe('int32');
    expect([...loaded.dataSync()]).toEqual(limits.map(Number));
    writeFileSync(at('e.npy'), npy(header('<i8', '(2,)'), longs(0n, 2n ** 31n)));
    await expect(loadNpy(at('e.npy'))).rejects.toMatchObject({
      code: 'FLUXION_UNSUPPORTED',
      message: expect.stringContaining('value 1') as string,
    });
  });

  test('other dtypes are unsupported', async () => {
    writeFileSync(at('e.npy'), npy(header('<U1', '(1,)'), Buffer.alloc(4)));
    await expect(loadNpy(at('e.npy'))).rejects.toMatchObject({
      code: 'FLUXION_UNSUPPORTED',
      message: expect.stringContaining("'<U1'") as string,
    });
  });

  test('random changes', () => fuzz(loadNpy, at('f.npy'), sound));
});

describe('npz', () => {
  const member = async (values: number[]) => {
    await saveNpy(tensor(values), at('member.npy'));
    return readFileSync(at('member.npy'));
  };

  test.each([true, false])('deflated: %s', async (deflate) => {
    const files = { 'a.npy': await member([1, 2, 3]), 'b.npy': await member([]) };
    writeFileSync(at('a.npz'), zip(files, { deflate }));
    const arrays = await loadNpz(at('a.npz'));
    expect(Object.keys(arrays)).toEqual(['a', 'b']);
    expect([...arrays.a!.dataSync()]).toEqual([1, 2, 3]);
    expect(arrays.b!.shape).toEqual([0]);
  });

  test('truncated anywhere, changed anywhere', async () => {
    const sound = zip({ 'a.npy': await member([1, 2]) });
    await expectTruncationsRefused(loadNpz, at('b.npz'), sound);
    await fuzz(loadNpz, at('b.npz'), sound, { rounds: 1000 });
  });

  test('a member whose bits changed', async () => {
    const sound = zip({ 'a.npy': await member([1, 2]) }, { deflate: false });
    const changed = Buffer.from(sound);
    changed[sound.indexOf('PK\x01\x02') - 1]! ^= 1;
    await expectCorrupt(loadNpz, at('c.npz'), changed, /a.npy must have its checksum/);
  });
});

describe('safetensors', () => {
  const make = () => ({
    weight: tensor([1.5, -2, 3, 4], { shape: [2, 2] }),
    bias: tensor([0.1, 0.2], { dtype: 'float64' }),
    steps: tensor(7, { dtype: 'int32' }),
    mask: tensor([1, 0, 255], { dtype: 'uint8' }),
    none: tensor(new Float32Array(0), { shape: [0, 3] }),
  });

  test('round-trips', async () => {
    const tensors = make();
    await saveSafetensors(tensors, at('a.safetensors'), { metadata: { format: 'test', ü: '—' } });
    const loaded = await loadSafetensors(at('a.safetensors'));
    expect(loaded.metadata).toEqual({ format: 'test', ü: '—' });
    expect(Object.keys(loaded.tensors).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, saved] of Object.entries(tensors)) {
      const read = loaded.tensors[name]!;
      expect([read.dtype, read.shape]).toEqual([saved.dtype, saved.shape]);
      expect([...read.dataSync()]).toEqual([...saved.dataSync()]);
    }
  });

  test('complex64 is C64; the format has no complex128', async () => {
    const z = tensor(Float32Array.of(1, 2, 3, -4), { dtype: 'complex64' });
    await saveSafetensors({ z, mask: make().mask }, at('z.safetensors'));
    expect(readFileSync(at('z.safetensors'), 'latin1')).toContain('"C64","shape":[2]');
    const { tensors } = await loadSafetensors(at('z.safetensors'));
    expect([tensors.z!.dtype, ...tensors.z!.dataSync()]).toEqual(['complex64', 1, 2, 3, -4]);
    await expect(
      saveSafetensors({ wide: z.to('complex128') }, at('w.safetensors')),
    ).rejects.toMatchObject({
      code: 'FLUXION_UNSUPPORTED',
      message: expect.stringContaining('viewAsReal') as string,
    });
  });

  test('the same tensors give the same bytes, elements aligned', async () => {
    await saveSafetensors(make(), at('b1'));
    const { mask, ...rest } = make();
    await saveSafetensors({ mask, ...rest }, at('b2'));
    expect(readFileSync(at('b1')).equals(readFileSync(at('b2')))).toBe(true);
    expect(Number(readFileSync(at('b1')).readBigUInt64LE()) % 8).toBe(0);
  });

  test('nothing is left beside the file, whether saving works or fails', async () => {
    const folder = at('');
    const temporary = () => readdirSync(folder).filter((name) => name.endsWith('.tmp'));
    const disposed = tensor([1]);
    disposed.dispose();
    writeFileSync(at('old.safetensors'), 'old');
    await expect(saveSafetensors({ disposed }, at('old.safetensors'))).rejects.toMatchObject({
      code: 'FLUXION_DISPOSED',
    });
    expect(readFileSync(at('old.safetensors'), 'utf8')).toBe('old');
    expect(temporary()).toEqual([]);
    await expect(saveSafetensors({}, path.join(folder, 'no', 'folder'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(existsSync(path.join(folder, 'no'))).toBe(false);
  });

  const entry = (offsets: unknown, shape: unknown = [1], dtype: unknown = 'F32') => ({
    dtype,
    shape,
    data_offsets: offsets,
  });
  const four = new Uint8Array(4);

  test('names that JavaScript knows', async () => {
    writeFileSync(at('c'), safetensors(`{"__proto__": ${JSON.stringify(entry([0, 4]))}}`, four));
    const { tensors } = await loadSafetensors(at('c'));
    expect(Object.keys(tensors)).toEqual(['__proto__']);
  });

  test('truncated anywhere', async () => {
    const sound = safetensors({ a: entry([0, 4]) }, four);
    await expectTruncationsRefused(loadSafetensors, at('d'), sound);
  });

  test('impossible header lengths', async () => {
    const sound = safetensors({ a: entry([0, 4]) }, four);
    for (const length of [
      2n ** 63n,
      2n ** 64n - 1n,
      2n ** 53n + 1n,
      100_000_001n,
      BigInt(sound.length - 7),
    ]) {
      const bytes = Buffer.from(sound);
      bytes.writeBigUInt64LE(length);
      await expectCorrupt(loadSafetensors, at('e'), bytes, `got ${length}`);
    }
  });

  test.each<[string, unknown, RegExp]>([
    ['not JSON', '{"a": ', /JSON/],
    ['a list', [], /object/],
    ['an entry that is none', { a: 3 }, /'a': must be an object/],
    ['a dtype that is none', { a: entry([0, 4], [1], 'F31') }, /dtype/],
    ['a dtype of the prototype', { a: entry([0, 4], [1], 'constructor') }, /dtype/],
    ['a negative size', { a: entry([0, 4], [-1]) }, /shape/],
    ['a fractional size', { a: entry([0, 4], [0.5]) }, /shape/],
    ['an overflowing shape', { a: entry([0, 4], [2 ** 40, 2 ** 40]) }, /shape/],
    ['nine dimensions', { a: entry([0, 4], Array(9).fill(1)) }, /shape/],
    ['no offsets', { a: entry(undefined) }, /data_offsets/],
    ['one offset', { a: entry([0]) }, /data_offsets/],
    ['negative offsets', { a: entry([-4, 0]) }, /data_offsets/],
    ['offsets the wrong way', { a: entry([4, 0]) }, /got -4/],
    ['offsets that do not fit the shape', { a: entry([0, 4], [2]) }, /8 bytes.*got 4/],
    ['offsets past the end', { a: entry([4, 8]) }, /begin at byte 0/],
    ['an overlap', { a: entry([0, 4]), b: entry([0, 4]) }, /begin at byte 4/],
    [
      'a hole',
      { a: entry([0, 1], [1], 'U8'), b: entry([2, 4], [2], 'U8') },
      /begin at byte 1, got 2/,
    ],
    ['bytes that no tensor has', { a: entry([0, 1], [1], 'U8') }, /must have 1 bytes/],
    ['metadata that is not text', { __metadata__: { a: 1 }, a: entry([0, 4]) }, /__metadata__/],
  ])('%s', (_, header, message) =>
    expectCorrupt(loadSafetensors, at('f'), safetensors(header, four), message),
  );

  test('invalid UTF-8', async () => {
    const bytes = safetensors('{"\xff\xff": 1}');
    bytes[10] = 0xff;
    await expectCorrupt(loadSafetensors, at('g'), bytes, /JSON/);
  });

  test('dtypes that are not read are unsupported, not corrupt', async () => {
    writeFileSync(at('h'), safetensors({ a: entry([0, 4], [4], 'F8_E4M3') }, four));
    await expect(loadSafetensors(at('h'))).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
  });

  test("PyTorch's counters and masks are read as the integers there are", async () => {
    const count = (value: bigint) => {
      const elements = Buffer.alloc(10);
      elements.writeBigInt64LE(value);
      elements[8] = 1;
      const header = { n: entry([0, 8], [], 'I64'), mask: entry([8, 10], [2], 'BOOL') };
      writeFileSync(at('j'), safetensors(header, elements));
      return loadSafetensors(at('j'));
    };
    const { n, mask } = (await count(-7n)).tensors;
    expect([n!.dtype, n!.item(), mask!.dtype]).toEqual(['int32', -7, 'uint8']);
    expect([...mask!.dataSync()]).toEqual([1, 0]);
    await expect(count(2n ** 31n)).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
  });

  test('random changes, without leaks', async () => {
    await saveSafetensors(make(), at('i'));
    const { tensors } = memory();
    const load = async (file: string) => {
      const loaded = await loadSafetensors(file);
      for (const value of Object.values(loaded.tensors)) value.dispose();
    };
    await fuzz(load, at('j'), readFileSync(at('i')), { rounds: 1000 });
    expect(memory().tensors).toBeLessThanOrEqual(tensors); // others may have been collected
  });
});

describe('PNG', () => {
  const image = tensor(
    [0, 51, 102, 153, 204, 255].map((v) => v / 255),
    { shape: [1, 2, 3] },
  );

  test('grey', async () => {
    await saveImage(image, at('a.png'));
    const loaded = await loadImage(at('a.png'), { channels: 1 });
    expect(loaded.shape).toEqual([1, 2, 3]);
    expect([...loaded.dataSync()]).toEqual([...image.dataSync()]);
    expect((await loadImage(at('a.png'))).shape).toEqual([1, 2, 3]);
  });

  test('colour, alpha, clipping', async () => {
    const values = Array.from({ length: 4 * 4 }, (_, i) =>
      i === 0 ? -1 : i === 5 ? 7 : (i * 17) / 255,
    );
    await saveImage(tensor(values, { shape: [4, 2, 2] }), at('b.png'));
    const loaded = await loadImage(at('b.png'), { channels: 4 });
    const expected = values.map((v) => Math.fround(Math.min(Math.max(v, 0), 1)));
    expect([...loaded.dataSync()]).toEqual(expected);
    expect((await loadImage(at('b.png'))).shape).toEqual([4, 2, 2]);
    expect((await loadImage(at('b.png'), { channels: 2 })).shape).toEqual([2, 2, 2]);
  });

  test('truncated anywhere, changed anywhere', async () => {
    await saveImage(image, at('c.png'));
    const bytes = readFileSync(at('c.png'));
    await expectTruncationsRefused(loadImage, at('d.png'), bytes);
    await fuzz(loadImage, at('d.png'), bytes, { rounds: 1000 });
  });

  test('absurd sizes', async () => {
    const bytes = Buffer.from(readFileSync(at('c.png')));
    bytes.writeUInt32BE(0x7fffffff, 16);
    await expectCorrupt(loadImage, at('e.png'), bytes, /pixels/);
  });

  test('shapes that are no image', async () => {
    await expect(saveImage(tensor([1, 2]), at('f.png'))).rejects.toMatchObject({
      code: 'FLUXION_SHAPE_MISMATCH',
    });
  });
});
