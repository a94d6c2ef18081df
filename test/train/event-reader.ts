// Reads event files, written from the format's description and not from our writer: checksums bit by bit.

/** CRC-32C by long division. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const masked = (bytes: Uint8Array) => {
  const crc = BigInt(crc32c(bytes));
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
};

/** The data of each record; throws where a checksum is wrong or the file ends within one. */
export function readRecords(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    if (file.readUInt32LE(at + 8) !== masked(file.subarray(at, at + 8))) throw new Error('length');
    const data = file.subarray(at + 12, at + 12 + length);
    if (file.readUInt32LE(at + 12 + length) !== masked(data)) throw new Error('data');
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type Field = number | bigint | Buffer;

/** Fields of a message by number, in order. */
export function readMessage(data: Buffer): Map<number, Field[]> {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const key = Number(varint());
    const wire = key & 7;
    let value: Field;
    if (wire === 0) value = varint();
    else if (wire === 1) value = data.readDoubleLE((at += 8) - 8);
    else if (wire === 5) value = data.readFloatLE((at += 4) - 4);
    else if (wire === 2) {
      const length = Number(varint());
      value = data.subarray(at, (at += length));
    } else throw new Error(`wire type ${wire}`);
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}

export interface Event {
  step: number;
  tag?: string;
  /** Fields of Summary.Value. */
  value?: Map<number, Field[]>;
  fields: Map<number, Field[]>;
}

export function readEvents(file: Buffer): Event[] {
  return readRecords(file).map((data) => {
    const fields = readMessage(data);
    const step = Number(fields.get(2)?.[0] ?? 0n);
    const summary = fields.get(5)?.[0] as Buffer | undefined;
    if (!summary) return { step, fields };
    const value = readMessage(readMessage(summary).get(1)![0] as Buffer);
    return { step, fields, value, tag: String(value.get(1)![0]) };
  });
}
