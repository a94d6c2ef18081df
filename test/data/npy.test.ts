import type { DType } from '../../lib/tensor/dtype';
import { readFileSync, writeFileSync } from 'node:fs';
import { tensor } from '../../lib/ops';
import { loadNpy, loadNpz, saveNpy } from '../../lib/data';
import { expectCorrupt, expectTruncationsRefused, fuzz, temporaryFolder } from './files';
import { zip } from './zip-writer';

const at = temporaryFolder();
const DTYPES: DType[] = ['float32', 'float64', 'int32', 'uint8'];

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
