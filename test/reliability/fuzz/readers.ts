// Every reader of files: how it is called, sound files to begin from, and what it may answer to a file that is not.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ErrorCode, type Tensor, data, isTensor, tensor, train } from '../../../lib';
import { parseConfig } from '../../../lib/cli/training-config';
import { idx, safetensors } from '../../data/files';
import * as formats from './formats';
import { type Repair } from './formats';
import { gzipSync } from './zlib-checksums';

export interface Reader {
  /** Reads the file; gives what tensors came. */
  read: (file: string) => Promise<Tensor[]>;
  seeds: (at: (name: string) => string) => Promise<Buffer[]>;
  /** Words of the format. */
  words?: readonly string[];
  /** What makes a changed file look sound, applied to half of them. */
  repairs?: readonly Repair[];
  /** Besides FLUXION_CORRUPT_FILE and FLUXION_UNSUPPORTED. */
  codes?: readonly ErrorCode[];
  /** How many bytes of tensors a byte of a file may become. */
  growth: number;
}

/** Deflate compresses by no more than 1032; a bit of an image becomes 32 bits in each of 4 channels. */
const DEFLATE = 1032;
const made = (bytes: Buffer[]): Promise<Buffer[]> => Promise.resolve(bytes);
const tensorsIn = (value: unknown): Tensor[] =>
  isTensor(value) ? [value] : Object.values(value as object).flatMap(tensorsIn);

/** An npy file with a header as given. */
function npy(header: string, elements: Uint8Array): Buffer {
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 0, 0]);
  start.writeUInt16LE(header.length + 1, 8);
  return Buffer.concat([start, Buffer.from(`${header}\n`), elements]);
}

const NPY_WORDS = [
  ...["'descr'", "'fortran_order'", "'shape'", 'True', 'False', '<f4', '>f8', '|b1', '<i8', '<u2'],
  ...['<c8', '<f2', '<constructor', '<__proto__', '<toString', '(', ')', ', ', '{', '}', '|O'],
];
const header = (descr: string, order: string, shape: string) =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
const NPY_FILES = () => [
  npy(header('<f4', 'False', '(2, 3)'), new Uint8Array(24)),
  npy(header('>f8', 'True', '(2, 2)'), new Uint8Array(32)),
  npy(header('<i8', 'False', '(3,)'), new Uint8Array(24)),
  npy(header('|b1', 'False', '()'), new Uint8Array(1)),
  npy(header('<f2', 'False', '(0, 4)'), new Uint8Array(0)),
];

const JSON_WORDS = ['{', '}', '[', ']', '"', ':', ',', 'null', '"__proto__"', '\\u0000', '-0'];

async function saved(file: string, save: (file: string) => Promise<void>): Promise<Buffer> {
  await save(file);
  return readFileSync(file);
}

/** The folder of a checkpoint, from the one file that the fuzzer makes. */
function checkpointFolder(file: string): string {
  const folder = `${file}.folder`;
  const [pointer, state, model] = formats.partsOfCheckpoint(readFileSync(file));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(path.join(folder, 'step-00000001-aaaaaa'), { recursive: true });
  writeFileSync(path.join(folder, 'latest.json'), pointer);
  writeFileSync(path.join(folder, 'step-00000001-aaaaaa', 'state.json'), state);
  writeFileSync(path.join(folder, 'step-00000001-aaaaaa', 'model.safetensors'), model);
  return folder;
}

async function checkpointSeed(at: (name: string) => string): Promise<Buffer[]> {
  const { BORDER } = formats;
  const model = await saved(at('model'), (file) =>
    data.saveSafetensors({ a: tensor([1, 2]), b: tensor([[3]], { dtype: 'int32' }) }, file),
  );
  const files = { 'model.safetensors': { bytes: 0, sha256: '0'.repeat(64) } };
  const state = JSON.stringify({ format: 1, files, state: { step: 1, $: { $number: 'NaN' } } }, null, 1);
  const pointer = `{"folder": "step-00000001-aaaaaa", "sha256": "${'0'.repeat(64)}"}`;
  const whole = Buffer.concat([Buffer.from(pointer), BORDER, Buffer.from(state), BORDER, model]);
  return [formats.repairCheckpoint(whole, Math.random)];
}

const HDF5 = path.join(__dirname, 'seed.h5');

export const READERS: Record<string, Reader> = {
  idx: {
    read: async (file) => [await data.loadIdx(file)],
    seeds: () =>
      made([
        idx(0x08, [3, 2, 2], new Uint8Array(12)),
        idx(0x0e, [2], new Uint8Array(16)),
        gzipSync(idx(0x0c, [2, 2], new Uint8Array(16))),
      ]),
    repairs: [(bytes) => gzipSync(bytes)],
    growth: DEFLATE,
  },
  npy: {
    read: async (file) => [await data.loadNpy(file)],
    seeds: () => made(NPY_FILES()),
    words: NPY_WORDS,
    repairs: [formats.repairNpy],
    growth: 4,
  },
  npz: {
    read: async (file) => tensorsIn(await data.loadNpz(file)),
    seeds: async (at) => [
      ...NPY_FILES(),
      await saved(at('x.npz'), (file) =>
        data.saveNpz({ a: tensor([1, 2]), b: tensor([[3]], { dtype: 'uint8' }) }, file),
      ),
    ],
    words: [...NPY_WORDS, 'PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06'],
    repairs: [formats.archiveOf, (bytes, random) => formats.archiveOf(formats.repairNpy(bytes, random), random)], // prettier-ignore
    growth: 4 * DEFLATE,
  },
  safetensors: {
    read: async (file) => tensorsIn((await data.loadSafetensors(file)).tensors),
    seeds: () =>
      made([
        safetensors(
          {
            __metadata__: { a: 'b' },
            x: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
            y: { dtype: 'I64', shape: [1], data_offsets: [16, 24] },
          },
          new Uint8Array(24),
        ),
        safetensors({ z: { dtype: 'BF16', shape: [0, 3], data_offsets: [0, 0] } }),
      ]),
    words: [...JSON_WORDS, '"dtype"', '"shape"', '"data_offsets"', '"F64"', '"BOOL"', '"C64"', '"F8_E4M3"', '"__metadata__"'], // prettier-ignore
    repairs: [formats.repairSafetensors],
    growth: 4,
  },
  png: {
    read: async (file) => [await data.loadImage(file)],
    seeds: async (at) => [
      await saved(at('a.png'), (file) => data.saveImage(tensor([[0, 0.5, 1]]), file)),
      await saved(at('b.png'), (file) =>
        data.saveImage(tensor([[[0, 1]], [[1, 0]], [[1, 1]], [[0, 1]]]), file),
      ),
    ],
    words: ['IHDR', 'IDAT', 'IEND', 'PLTE', 'tRNS', 'gAMA'],
    repairs: [formats.repairPng],
    growth: 32 * 4 * DEFLATE,
  },
  jpeg: {
    read: async (file) => [await data.loadImage(file)],
    seeds: async (at) => [
      await saved(at('a.jpg'), (file) => data.saveImage(tensor([[0, 0.5, 1]]), file)),
      await saved(at('b.jpg'), (file) =>
        data.saveImage(tensor(Float64Array.from({ length: 432 }, (_, i) => (i % 7) / 7), { shape: [3, 12, 12] }), file), // prettier-ignore
      ),
    ],
    words: ['\xff\xd8', '\xff\xc0', '\xff\xc2', '\xff\xc4', '\xff\xda', '\xff\xdb', '\xff\xd9', '\xff\xdd', '\xff\xee', '\xff\xe1', '\xff\xd0'], // prettier-ignore
    growth: 512 * 4 * 4,
  },
  hdf5: {
    read: async (file) => {
      await data.describeHdf5(file);
      return tensorsIn(await data.loadHdf5(file));
    },
    seeds: () => made(existsSync(HDF5) ? [readFileSync(HDF5)] : []),
    codes: ['FLUXION_OUT_OF_MEMORY'],
    growth: 1e6,
  },
  checkpoint: {
    read: async (file) => {
      const found = await train.readCheckpoint(checkpointFolder(file));
      return found ? tensorsIn(found.tensors) : [];
    },
    seeds: checkpointSeed,
    words: [...JSON_WORDS, '"folder"', '"sha256"', '"files"', '"bytes"', '"format"', '"$number"', 'model.safetensors', '../x'], // prettier-ignore
    repairs: [formats.repairCheckpoint],
    growth: 4,
  },
  log: {
    read: async (file) => {
      await train.jsonLog(file).onStart!({ step: 2, epoch: 1 } as never);
      return [];
    },
    seeds: () =>
      made([
        Buffer.from(
          '{"kind":"step","step":1,"epoch":1,"seconds":0.5}\n{"kind":"epoch","step":2,"epoch":1,"seconds":1}\n',
        ),
      ]),
    words: [...JSON_WORDS, '"kind"', '"step"', '"epoch"', '\n'],
    codes: ['FLUXION_INVALID_ARGUMENT'],
    growth: 0,
  },
  configuration: {
    read: (file) => {
      parseConfig(file, readFileSync(file, 'utf8'));
      return Promise.resolve([]);
    },
    seeds: () =>
      made([
        Buffer.from(
          '{"model": {"name": "RDNN", "options": {}}, "data": {"images": "a", "labels": "b", ' +
            '"testImages": "c", "testLabels": "d"}, "output": "o", "epochs": 3, "schedule": "cosine"}',
        ),
      ]),
    words: [...JSON_WORDS, '"model"', '"data"', '"seed"', '"optimizer"', '"batchSize"'],
    codes: ['FLUXION_INVALID_ARGUMENT'],
    growth: 0,
  },
};
