import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { PNG } from 'pngjs';
import { rand, tensor } from '../../lib/ops';
import { TensorBoardWriter, accuracy, fit, tensorBoard } from '../../lib/train';
import { crc32c, frameRecord } from '../../lib/train/event-file';
import { DataLoader } from '../../lib/data';
import { temporaryFolder } from '../data/files';
import { type Event, readEvents, readMessage, readRecords } from './event-reader';
import { halves, makeRun } from './small-run';

const at = temporaryFolder();

const doubles = (field: unknown) => {
  const bytes = Uint8Array.from(field as Buffer);
  return [...new Float64Array(bytes.buffer)];
};

test('CRC-32C of RFC 3720, appendix B.4', () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
});

test('a record that TensorFlow writes: length 1, masked checksums', () => {
  const record = frameRecord(Buffer.from('a'));
  expect(record.length).toBe(17);
  expect(readRecords(record).map(String)).toEqual(['a']);
  expect(() => readRecords(Buffer.from(record.map((b, i) => (i === 12 ? b ^ 1 : b))))).toThrow(
    'data',
  );
});

test('scalars, histograms, images, texts', async () => {
  const writer = new TensorBoardWriter(at('all'));
  writer.addScalar('loss', 0.5, 1);
  writer.addScalar('loss', -Infinity, 2 ** 40);
  writer.addHistogram('w', tensor([1, 2, 2, 4]), 3, { bins: 3 });
  writer.addHistogram('none', [NaN], 3);
  writer.addImage('rgb', tensor(new Float32Array(3 * 2 * 4).fill(2), { shape: [3, 2, 4] }), 4);
  writer.addImage(
    'grey',
    tensor(
      [
        [0, 51],
        [102, 255],
      ],
      { dtype: 'uint8' },
    ),
    4,
  );
  writer.addText('note', 'größer *als*', 5);
  await writer.close();
  expect(path.basename(writer.file)).toMatch(/^events\.out\.tfevents\.\d{10}\./);
  const [version, ...events] = readEvents(readFileSync(writer.file));
  expect(String(version!.fields.get(3)![0] as Buffer)).toBe('brain.Event:2');
  expect(Math.abs((version!.fields.get(1)![0] as number) - Date.now() / 1000)).toBeLessThan(60);
  const of = (tag: string) => events.filter((event) => event.tag === tag);

  expect(of('loss').map(({ step, value }) => [step, value!.get(2)![0]])).toEqual([
    [1, 0.5],
    [2 ** 40, -Infinity],
  ]);
  const histogram = readMessage(of('w')[0]!.value!.get(5)![0] as Buffer);
  expect([1, 2, 3, 4, 5].map((field) => histogram.get(field)![0])).toEqual([1, 4, 4, 9, 25]);
  expect(doubles(histogram.get(6)![0])).toEqual([2, 3, 4]);
  expect(doubles(histogram.get(7)![0])).toEqual([1, 2, 1]);
  expect(readMessage(of('none')[0]!.value!.get(5)![0] as Buffer).get(3)![0]).toBe(0);

  const image = (event: Event) => {
    const fields = readMessage(event.value!.get(4)![0] as Buffer);
    const sizes = [1, 2, 3].map((field) => Number(fields.get(field)![0]));
    return { sizes, png: PNG.sync.read(fields.get(4)![0] as Buffer) };
  };
  const rgb = image(of('rgb')[0]!);
  expect(rgb.sizes).toEqual([2, 4, 3]);
  expect([rgb.png.width, rgb.png.height, rgb.png.data[0]]).toEqual([4, 2, 255]);
  const grey = image(of('grey')[0]!);
  expect([0, 4, 8, 12].map((i) => grey.png.data[i])).toEqual([0, 51, 102, 255]);

  const text = of('note')[0]!.value!;
  const proto = readMessage(text.get(8)![0] as Buffer);
  expect([proto.get(1)![0], String(proto.get(8)![0] as Buffer)]).toEqual([7n, 'größer *als*']);
  const plugin = readMessage(readMessage(text.get(9)![0] as Buffer).get(1)![0] as Buffer);
  expect(String(plugin.get(1)![0] as Buffer)).toBe('text');
});

test('whole records at any time; each writer its own file; a closed one is an error', async () => {
  const writers = [new TensorBoardWriter(at('two')), new TensorBoardWriter(at('two'))];
  for (let step = 0; step < 6000; step++) writers[step % 2]!.addScalar('x', step, step);
  for (const { file } of writers)
    expect(readEvents(readFileSync(file)).length).toBeGreaterThan(500);
  for (const writer of writers) {
    await writer.flush();
    expect(readEvents(readFileSync(writer.file))).toHaveLength(3001);
    await writer.close();
    await writer.close();
    expect(() => writer.addScalar('x', 1, 1)).toThrow('must not be closed');
  }
  expect(readdirSync(at('two'))).toHaveLength(2);
});

test.each<[string, (writer: TensorBoardWriter) => void]>([
  ['tag must be a text', (w) => w.addScalar('', 1, 1)],
  ['step must be an integer >= 0', (w) => w.addScalar('a', 1, -1)],
  ['value must be a number', (w) => w.addScalar('a', '1' as never, 1)],
  ['image must have shape', (w) => w.addImage('a', rand([2, 4, 4]), 1)],
  ['bins must be an integer > 0', (w) => w.addHistogram('a', [1], 1, { bins: 0 })],
])('a bad argument is named: %s', async (message, call) => {
  const writer = new TensorBoardWriter(at('bad'));
  expect(() => call(writer)).toThrow(message);
  await writer.close();
});

test('the callback: every step and epoch; a resumed run takes back what came after its checkpoint', async () => {
  const train = async (epochs: number) => {
    const { model, loader, options } = makeRun({ epochs });
    const history = await fit(model, loader, {
      ...options,
      metrics: { accuracy },
      validation: new DataLoader(halves(32, 7), { batchSize: 32 }),
      checkpoint: { path: at('checkpoint') },
      callbacks: [tensorBoard(at('fit')), {}],
    });
    return history.losses;
  };
  const steps = (await train(1)).length;
  const losses = await train(2);
  const [first, second] = readdirSync(at('fit'))
    .sort((a, b) => Number(a.split('.').at(-1)) - Number(b.split('.').at(-1)))
    .map((file) => readEvents(readFileSync(at(`fit/${file}`))));
  const scalars = (events: Event[], tag: string) =>
    events.filter((e) => e.tag === tag).map(({ step, value }) => [step, value!.get(2)![0]]);
  expect([...scalars(first!, 'train/loss'), ...scalars(second!, 'train/loss')]).toEqual(
    losses.map((loss, i) => [i + 1, Math.fround(loss)]),
  );
  for (const tag of ['epoch/accuracy', 'validation/loss', 'validation/accuracy']) {
    expect(scalars(first!, tag).map(([step]) => step)).toEqual([steps]);
    expect(scalars(second!, tag).map(([step]) => step)).toEqual([2 * steps]);
  }
  // SessionLog START: later events of earlier files do not count.
  expect(first!.some(({ fields }) => fields.has(7))).toBe(false);
  expect(second!.find(({ fields }) => fields.has(7))!.step).toBe(steps + 1);
});
