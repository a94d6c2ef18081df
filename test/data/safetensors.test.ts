import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { memory } from '../../lib/tensor/tensor';
import { tensor } from '../../lib/ops';
import { loadSafetensors, saveSafetensors } from '../../lib/data';
import {
  expectCorrupt,
  expectTruncationsRefused,
  fuzz,
  safetensors,
  temporaryFolder,
} from './files';

const at = temporaryFolder();

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
