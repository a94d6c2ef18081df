import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { loadIdx } from '../../lib/data';
import { expectCorrupt, expectTruncationsRefused, fuzz, idx, temporaryFolder } from './files';

const at = temporaryFolder();

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
