import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FluxionError } from '../../lib/errors';
import { Random } from '../../lib/data';

/** A folder that is removed after the tests of a file. */
export function temporaryFolder(): (name: string) => string {
  const folder = mkdtempSync(path.join(tmpdir(), 'fluxion-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => path.join(folder, name);
}

export function idx(type: number, shape: number[], elements: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = type;
  header[3] = shape.length;
  shape.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, elements]);
}

export function safetensors(header: unknown, elements: Uint8Array = new Uint8Array(0)): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, elements]);
}

/** Expects that reading a file of these bytes fails as a corrupt file that the message names. */
export async function expectCorrupt(
  load: (file: string) => Promise<unknown>,
  file: string,
  bytes: Uint8Array,
  message: string | RegExp = '',
): Promise<void> {
  writeFileSync(file, bytes);
  const error: unknown = await load(file).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'FLUXION_CORRUPT_FILE' });
  expect((error as Error).message).toContain(file);
  expect((error as Error).message).toMatch(message);
}

/** Every prefix of a file must be refused. */
export async function expectTruncationsRefused(
  load: (file: string) => Promise<unknown>,
  file: string,
  bytes: Uint8Array,
): Promise<void> {
  for (let n = 0; n < bytes.length; n++) await expectCorrupt(load, file, bytes.subarray(0, n));
}

/** Changed bytes must load as something else or throw a FluxionError. */
export async function fuzz(
  load: (file: string) => Promise<unknown>,
  file: string,
  bytes: Uint8Array,
  { rounds = 300, seed = 1 } = {},
): Promise<void> {
  const random = new Random(seed);
  for (let round = 0; round < rounds; round++) {
    const changed = Uint8Array.from(bytes);
    for (let k = random.below(3); k >= 0; k--)
      changed[random.below(changed.length)] = random.below(256);
    writeFileSync(file, changed);
    await load(file).catch((error: unknown) => {
      if (!(error instanceof FluxionError)) throw error;
    });
  }
}
