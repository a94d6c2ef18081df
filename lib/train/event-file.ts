// Files of events as TensorBoard reads them: records of the TFRecord format that hold Event messages.
//
//     record   length (64 bits, little-endian), masked CRC-32C of the length (32), data, masked CRC-32C of the data
//     masked   ((crc >> 15) | (crc << 17)) + 0xa282ead8
//     Event    1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session log
//
// Sources: tensorflow/core/lib/io/record_writer, tensorboard/compat/proto/{event,summary,tensor}.proto.

/** Remainders of CRC-32C (Castagnoli, polynomial 0x82f63b78, reflected) for each byte. */
const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++)
    remainder = (remainder >>> 1) ^ (remainder & 1 ? 0x82f63b78 : 0);
  return remainder;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ REMAINDERS[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** A record of the TFRecord format. */
export function frameRecord(data: Uint8Array): Buffer {
  const record = Buffer.alloc(16 + data.length);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc(data), 12 + data.length);
  return record;
}

/** A message of Protocol Buffers: fields in the order in which they are written. */
export class Message {
  private readonly parts: Uint8Array[] = [];

  private tag(field: number, wireType: number): void {
    this.parts.push(varint(BigInt((field << 3) | wireType)));
  }

  integer(field: number, value: number): this {
    this.tag(field, 0);
    this.parts.push(varint(BigInt.asUintN(64, BigInt(value))));
    return this;
  }

  double(field: number, value: number): this {
    this.tag(field, 1);
    this.parts.push(new Uint8Array(Float64Array.of(value).buffer));
    return this;
  }

  float(field: number, value: number): this {
    this.tag(field, 5);
    this.parts.push(new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  /** Bytes, a string, or a message within. */
  bytes(field: number, value: Uint8Array | string | Message): this {
    const data =
      value instanceof Message
        ? value.encode()
        : typeof value === 'string'
          ? Buffer.from(value)
          : value;
    this.tag(field, 2);
    this.parts.push(varint(BigInt(data.length)), data);
    return this;
  }

  /** A packed list of doubles. */
  doubles(field: number, values: readonly number[]): this {
    return this.bytes(field, new Uint8Array(Float64Array.from(values).buffer));
  }

  encode(): Buffer {
    return Buffer.concat(this.parts);
  }
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

/** The first event of a file. */
export function versionEvent(seconds: number): Message {
  return new Message().double(1, seconds).bytes(3, 'brain.Event:2');
}

/** Tells readers to forget what earlier files have at `step` and after it: status START of SessionLog. */
export function restartEvent(seconds: number, step: number): Message {
  return new Message().double(1, seconds).integer(2, step).bytes(7, new Message().integer(1, 1));
}

/** An event with one value: `fill` writes the content of Summary.Value after its tag. */
export function valueEvent(
  seconds: number,
  step: number,
  tag: string,
  fill: (value: Message) => Message,
): Message {
  const value = fill(new Message().bytes(1, tag));
  return new Message().double(1, seconds).integer(2, step).bytes(5, new Message().bytes(1, value));
}

/** Summary.Value of a histogram: HistogramProto, whose bucket i ends at limits[i]. */
export function histogramValue(value: Message, numbers: ArrayLike<number>, bins: number): Message {
  let [low, high, sum, squares] = [Infinity, -Infinity, 0, 0];
  const finite = Array.from(numbers).filter(Number.isFinite);
  for (const x of finite) {
    low = Math.min(low, x);
    high = Math.max(high, x);
    sum += x;
    squares += x * x;
  }
  if (finite.length === 0) [low, high] = [0, 0];
  const width = (high - low) / bins || 1;
  const counts = new Array<number>(bins).fill(0);
  for (const x of finite) counts[Math.min(bins - 1, Math.floor((x - low) / width))]!++;
  const limits = counts.map((_, i) =>
    i === bins - 1 ? Math.max(high, low + bins * width) : low + (i + 1) * width,
  );
  const proto = new Message().double(1, low).double(2, high).double(3, finite.length);
  proto.double(4, sum).double(5, squares).doubles(6, limits).doubles(7, counts);
  return value.bytes(5, proto);
}

/** Summary.Value of a text: a string tensor [1] for the plugin 'text'. */
export function textValue(value: Message, text: string): Message {
  const shape = new Message().bytes(2, new Message().integer(1, 1));
  const tensor = new Message().integer(1, 7).bytes(2, shape).bytes(8, text);
  const plugin = new Message().bytes(1, 'text');
  return value.bytes(8, tensor).bytes(9, new Message().bytes(1, plugin));
}

/** Summary.Value of an image as the bytes of a PNG file. */
export function imageValue(
  value: Message,
  image: { height: number; width: number; channels: number; png: Uint8Array },
): Message {
  const proto = new Message().integer(1, image.height).integer(2, image.width);
  return value.bytes(4, proto.integer(3, image.channels).bytes(4, image.png));
}
