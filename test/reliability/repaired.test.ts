// What the properties and the fuzzers found, once each.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
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

test('a JPEG whose second frame claims many pixels takes no memory', async () => {
  await data.saveImage(tensor([[0, 0.5, 1]]), at('a.jpg'));
  const bytes = readFileSync(at('a.jpg'));
  const end = bytes.subarray(-2);
  // Baseline, 8 bits, 37121 x 4360, one component.
  const frame = Buffer.from([0xff, 0xc0, 0, 11, 8, 0x11, 0x08, 0x91, 0x01, 1, 1, 0x11, 0]);
  const two = Buffer.concat([bytes.subarray(0, -2), frame, end]);
  await expectCorrupt(data.loadImage, at('b.jpg'), two, /maxMemoryUsageInMB/);
});

test('names of HDF5 such as __proto__ are names like others', () => {
  const program = path.join(__dirname, '../data/programs/hdf5-names.cjs');
  const { stdout, stderr } = spawnSync(process.execPath, [program, at('n.h5')], {
    encoding: 'utf8',
  });
  expect({ stdout: stdout.trim(), stderr }).toEqual({
    stdout: '["__proto__","constructor"] [1,2]',
    stderr: '',
  });
});

test.each([{ p: Symbol.iterator }, { p: null }, { p: '0.5' }, { p: [0.5] }, { training: 1 }])(
  'dropout with %p',
  (options) => {
    expect(errorOf(() => fluxion.dropout(ones([2]), options as never)).code).toBe(
      'FLUXION_INVALID_ARGUMENT',
    );
  },
);

test('options that every object has', () => {
  const options = { constructor: 1 } as never;
  expect(errorOf(() => fluxion.dropout(ones([2]), options)).message).toMatch(/no option/);
  expect(errorOf(() => new fluxion.nn.Activation('constructor' as never)).message).toMatch(/name/);
});

test('modules and optimizers of values that are none', () => {
  const { nn, optim } = fluxion;
  const wrong = Symbol.iterator as never;
  const optimizer = new optim.SGD([nn.parameter(ones([2]))], { learningRate: 0.1 });
  for (const run of [
    () => new nn.Activation(wrong),
    () => new nn.Diffusion2d(2, { initial: wrong }),
    () => new nn.Diffusion2d(2 ** 53),
    () => new nn.LayerNorm(wrong),
    () => new nn.MeshFreeConv2d(1, 1, { length: wrong }),
    () => new nn.ModuleList(wrong),
    () => nn.parameter(wrong),
    () => new optim.StepLR(wrong, 2),
    () => new optim.OneCycleLR(wrong, 1, { totalSteps: 2 }),
    () => new optim.SequentialLR(optimizer, wrong, []),
    () => optim.clipGradNorm(wrong, 1),
    () => optim.clipGradNorm([ones([1])], wrong),
    () => fluxion.layerNorm(ones([2, 2]), [{}, 2] as never),
  ])
    expect(errorOf(run).code).toBe('FLUXION_INVALID_ARGUMENT');
});

test('a list that holds itself, in a message', () => {
  const list: unknown[] = [];
  list.push(list);
  expect(errorOf(() => fluxion.fftfreq(list as never)).code).toBe('FLUXION_INVALID_ARGUMENT');
});

test('gradients of convolutions with no outputs', () => {
  const [x, w] = [ones([1, 4, 100]), ones([0, 2, 5])];
  for (const t of [x, w]) t.requiresGrad = true;
  const y = fluxion.conv1d(x, w, { stride: 3, padding: 16, dilation: 2, groups: 2 });
  y.backward(fluxion.onesLike(y));
  expect(w.grad!.shape).toEqual([0, 2, 5]);
  expect(new Set(x.grad!.dataSync())).toEqual(new Set([0]));
});

test('a transposed convolution of no channels, one output of each group', () => {
  const y = ones([1, 0, 16]).convTranspose1d(ones([0, 1, 3]), { groups: 2 });
  expect(y.shape).toEqual([1, 2, 18]);
  expect(new Set(y.dataSync())).toEqual(new Set([0]));
});

test('Cholesky takes products from small numbers once a large one has cancelled', () => {
  // v v^T + 1, of which all but the first column of the factor is small beside the entries.
  const n = 200;
  const v = tensor(Float32Array.from({ length: n }, (_, i) => Math.sin(i * i) * 9));
  const a = fluxion.add(fluxion.matmul(v.reshape([n, 1]), v.reshape([1, n])), fluxion.eye(n));
  const exact = fluxion.cholesky(a.to('float64'));
  const error = fluxion.sub(fluxion.cholesky(a).to('float64'), exact).abs().max().dataSync()[0]!;
  expect(error).toBeLessThan(1e-4);
});
