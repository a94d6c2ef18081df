// What the properties and the fuzzers found, once each.
import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import * as fluxion from '../../lib';
import { type FluxionError, data, ones, tensor } from '../../lib';
import { expectCorrupt, idx, safetensors, temporaryFolder } from '../data/files';

const at = temporaryFolder();

function errorOf(run: () => unknown): FluxionError {
  try {
    run();
  } catch (error) {
    return error as FluxionError;
  }
  throw new Error('no error');
}

test.each(['sign', 'exp', 'relu', 'sum', 'matmul', 'reshape'])('%s of null', (name) => {
  const run = (fluxion as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!;
  expect(errorOf(() => run(null, null)).code).toBe('FLUXION_INVALID_ARGUMENT');
});

test('frequencies of more points than there can be', () => {
  expect(errorOf(() => fluxion.fftfreq(2 ** 53)).code).toBe('FLUXION_INVALID_ARGUMENT');
  expect(errorOf(() => fluxion.rfftfreq(5, 0 as never)).code).toBe('FLUXION_INVALID_ARGUMENT');
});

test('a stride beyond all sizes is an error, it never ended', () => {
  const [x, w] = [ones([1, 2, 3, 3]), ones([2, 2, 1, 2])];
  expect(errorOf(() => x.convTranspose2d(w, { stride: 2 ** 32 })).message).toMatch(
    /stride must be/,
  );
  expect(
    x
      .slice(2, 0, 1)
      .slice(3, 0, 1)
      .convTranspose2d(w, { stride: 2 ** 20 }).shape,
  ).toEqual([...[1, 2, 1, 2]]);
});

function npy(header: string): Buffer {
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length + 1, 0]);
  return Buffer.concat([start, Buffer.from(`${header}\n`), new Uint8Array(4)]);
}

test.each([
  "{'descr': '<constructor', 'fortran_order': False, 'shape': (1,), }",
  "{'descr': '<__proto__', 'fortran_order': False, 'shape': (1,), }",
])('an npy file of %s', async (header) => {
  writeFileSync(at('a.npy'), npy(header));
  await expect(data.loadNpy(at('a.npy'))).rejects.toMatchObject({ code: 'FLUXION_UNSUPPORTED' });
});

test.each([
  "{'descr': '<f4', 'fortran_order': False, 'shape': (,,1), }",
  "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
  "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
  "x {'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
])('an npy file of %s', async (header) => {
  await expectCorrupt(data.loadNpy, at('a.npy'), npy(header), /once each/);
});

test('a safetensors header with a key twice, or with something before it', async () => {
  const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
  const one = Uint8Array.of(1);
  const load = data.loadSafetensors;
  await expectCorrupt(load, at('a'), safetensors(`{"x":${entry},"\\u0078":${entry}}`, one), /once/);
  await expectCorrupt(load, at('a'), safetensors(` {"x":${entry}}`, one), /JSON object/);
  await expectCorrupt(load, at('a'), safetensors(`\ufeff{"x":${entry}}`, one), /JSON/);
});

test('an archive with a name twice', async () => {
  await data.saveNpz({ a: tensor([1]), b: tensor([1]) }, at('x.npz'));
  const bytes = Buffer.from(readFileSync(at('x.npz')).toString('latin1').replaceAll('b.npy', 'a.npy'), 'latin1'); // prettier-ignore
  await expectCorrupt(data.loadNpz, at('y.npz'), bytes, /each name once/);
});

test('data behind the end of a gzip file', async () => {
  const sound = gzipSync(idx(0x08, [2], Uint8Array.of(1, 2)));
  const longer = (more: string) => Buffer.concat([sound, Buffer.from(more)]);
  await expectCorrupt(data.loadIdx, at('a.gz'), longer('more'), /valid gzip/);
  // Zeros, which zlib passes over.
  await expectCorrupt(data.loadIdx, at('a.gz'), longer('\0\0'), /got 2 bytes behind them/);
});

test('a small image that claims many pixels takes no memory', async () => {
  await data.saveImage(tensor([[0, 1]]), at('a.png'));
  const bytes = Buffer.from(readFileSync(at('a.png')));
  bytes.writeUInt32BE(16384, 16);
  bytes.writeUInt32BE(16384, 20);
  await expectCorrupt(data.loadImage, at('b.png'), bytes, /must hold its 268435456 pixels/);
});
