import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { createReadStream } from 'node:fs';
import { type FluxionError, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { corruptFile } from '../data/corrupt-file';
import { replaceFile, syncFolder, writeDurably } from '../data/file-bytes';
import { loadSafetensors, safetensorsParts } from '../data/safetensors';

// A checkpoint is a folder of its own, written and forced to the disk as a whole, and named by `latest.json`
// beside it, which is replaced atomically: whenever the process dies, `latest.json` names a complete one.
//
//     path/latest.json                              { folder, sha256 of state.json }
//     path/step-00000400-a1b2c3/state.json          numbers; length and sha256 of the other files
//     path/step-00000400-a1b2c3/*.safetensors       tensors

const POINTER = 'latest.json';
const STATE = 'state.json';
const FOLDER = /^step-\d{8,}-[0-9a-f]{6}$/;
/** A pointer that a process which died has not yet put in its place; see replaceFile. */
const UNFINISHED = /^\.latest\.json\.[0-9a-f]{12}\.tmp$/;
const FORMAT = 1;

/** Tensors by file and name, and whatever JSON can hold (and numbers that it cannot). */
export interface Checkpoint {
  tensors: Record<string, Record<string, Tensor>>;
  state: unknown;
}

interface FileRecord {
  bytes: number;
  sha256: string;
}

/** Writes a checkpoint and then removes older ones. The tensors are read as they are at the call. */
export async function writeCheckpoint(
  root: string,
  step: number,
  content: Checkpoint,
): Promise<void> {
  const parts = Object.entries(content.tensors).map(
    ([name, tensors]) => [`${name}.safetensors`, safetensorsParts(tensors)] as const,
  );
  const name = `step-${String(step).padStart(8, '0')}-${randomBytes(3).toString('hex')}`;
  const folder = path.join(root, name);
  await mkdir(folder, { recursive: true });
  const files: Record<string, FileRecord> = {};
  for (const [file, pieces] of parts)
    files[file] = await writeHashed(path.join(folder, file), pieces);
  const state = encode({ format: FORMAT, files, state: content.state });
  const { sha256 } = await writeHashed(path.join(folder, STATE), [state]);
  await syncFolder(folder);
  await syncFolder(root);
  await replaceFile(path.join(root, POINTER), [encode({ folder: name, sha256 })]);
  await prune(root, name);
}

/**
 * Reads the newest checkpoint below a folder; null when there is none. Every file is compared with its
 * length and checksum: FLUXION_CORRUPT_FILE otherwise.
 */
export async function readCheckpoint(root: string): Promise<Checkpoint | null> {
  const pointer = path.join(root, POINTER);
  const bytes = await readFile(pointer).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null; // nothing was ever completed
    throw error;
  });
  if (!bytes) return null;
  const { folder: name, sha256 } = decode(root, POINTER, bytes) as Partial<Record<string, unknown>>;
  if (typeof name !== 'string' || !FOLDER.test(name))
    throw broken(root, POINTER, 'must name a checkpoint');
  const stateFile = path.join(name, STATE);
  const stateBytes = await readFile(path.join(root, stateFile)).catch((error: unknown) => {
    throw broken(root, stateFile, 'must be readable', error);
  });
  if (hashOf(stateBytes) !== sha256) throw broken(root, stateFile, 'must have its checksum');
  const { format, files, state } = decode(root, stateFile, stateBytes) as Record<string, unknown>;
  if (format !== FORMAT)
    throw broken(root, stateFile, `format must be ${FORMAT}, got ${show(format)}`);
  if (!areFileRecords(files)) throw broken(root, stateFile, 'files must be names with records');
  // All files are checked before a tensor is made.
  for (const [file, record] of Object.entries(files))
    await verify(root, path.join(name, file), record);
  const tensors: [string, Record<string, Tensor>][] = [];
  for (const file of Object.keys(files)) {
    const loaded = await loadSafetensors(path.join(root, name, file));
    tensors.push([path.basename(file, '.safetensors'), loaded.tensors]);
  }
  // fromEntries makes a name such as __proto__ a name like others.
  return { tensors: Object.fromEntries(tensors), state };
}

const FILE = /^[\w-]+\.safetensors$/;

/** Whether a value lists files of the checkpoint's own folder with their lengths and checksums. */
function areFileRecords(value: unknown): value is Record<string, FileRecord> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(([name, record]) => {
    const { bytes, sha256 } = (record ?? {}) as Partial<FileRecord>;
    return FILE.test(name) && Number.isSafeInteger(bytes) && typeof sha256 === 'string';
  });
}

function broken(root: string, file: string, detail: string, cause?: unknown): FluxionError {
  return corruptFile(
    'readCheckpoint',
    path.join(root, file),
    `${detail}. Restore the folder ${root} from a copy, or remove it to begin anew`,
    cause,
  );
}

async function verify(root: string, file: string, record: FileRecord): Promise<void> {
  const full = path.join(root, file);
  const size = await stat(full).then(
    (found) => found.size,
    (error: unknown) => {
      throw broken(root, file, 'must be there', error);
    },
  );
  if (size !== record.bytes)
    throw broken(root, file, `must have ${record.bytes} bytes, got ${size}`);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(full, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
  }
  if (hash.digest('hex') !== record.sha256) throw broken(root, file, 'must have its checksum');
}

async function writeHashed(
  file: string,
  parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<FileRecord> {
  const hash = createHash('sha256');
  let bytes = 0;
  await writeDurably(file, parts, (piece) => {
    bytes += piece.byteLength;
    hash.update(piece);
  });
  return { bytes, sha256: hash.digest('hex') };
}

async function prune(root: string, current: string): Promise<void> {
  for (const name of await readdir(root)) {
    if ((name !== current && FOLDER.test(name)) || UNFINISHED.test(name))
      await rm(path.join(root, name), { recursive: true });
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** JSON, with NaN and the infinities as { $number: 'NaN' }. */
function encode(value: unknown): Buffer {
  const text = JSON.stringify(
    value,
    (_, entry: unknown) =>
      typeof entry === 'number' && !Number.isFinite(entry) ? { $number: String(entry) } : entry,
    1,
  );
  return Buffer.from(`${text}\n`);
}

function decode(root: string, file: string, bytes: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'), (_, entry: unknown) => {
      const number = (entry as { $number?: unknown } | null)?.$number;
      return number === undefined ? entry : Number(number);
    });
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    throw broken(root, file, 'must be JSON', error);
  }
  throw broken(root, file, 'must be a JSON object');
}
