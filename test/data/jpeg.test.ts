import { readFileSync, writeFileSync } from 'node:fs';
import { rand, tensor } from '../../lib/ops';
import { Random, loadImage, saveImage } from '../../lib/data';
import { expectCorrupt, temporaryFolder } from './files';

const at = temporaryFolder();
const SIDE = 24;

/** A smooth picture, which JPEG keeps well. */
function picture(channels: number) {
  const data = Float32Array.from({ length: channels * SIDE * SIDE }, (_, i) => {
    const [c, y, x] = [Math.floor(i / SIDE ** 2), Math.floor(i / SIDE) % SIDE, i % SIDE];
    return 0.5 + 0.4 * Math.sin((x + 2 * c) / 5) * Math.cos(y / (6 + c));
  });
  return tensor(data, { shape: [channels, SIDE, SIDE] });
}

test.each([1, 3])('a picture of %i channels round-trips within its quality', async (channels) => {
  const image = picture(channels);
  await saveImage(image, at('a.jpg'), { quality: 95 });
  expect([...readFileSync(at('a.jpg')).subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
  const loaded = await loadImage(at('a.jpg'), { channels: channels as 1 | 3 });
  expect([loaded.dtype, loaded.shape]).toEqual(['float32', [channels, SIDE, SIDE]]);
  const [got, want] = [loaded.dataSync(), image.dataSync()];
  const worst = Math.max(...got.map((x, i) => Math.abs(x - want[i]!)));
  expect(worst).toBeLessThan(0.06);
});

test('channels: colour, grey by the luma, alpha', async () => {
  await saveImage(picture(3), at('c.jpeg'));
  const rgb = await loadImage(at('c.jpeg'));
  expect(rgb.shape).toEqual([3, SIDE, SIDE]);
  const grey = await loadImage(at('c.jpeg'), { channels: 1 });
  const [r, g, b] = [0, 1, 2].map((c) => rgb.dataSync()[c * SIDE ** 2 + 77]!);
  expect(grey.dataSync()[77]).toBeCloseTo(0.299 * r! + 0.587 * g! + 0.114 * b!, 5);
  const rgba = await loadImage(at('c.jpeg'), { channels: 4 });
  expect(rgba.dataSync()[3 * SIDE ** 2]).toBe(1);
});

test('the format is that of the content, not of the name', async () => {
  await saveImage(picture(3), at('x.jpg'));
  writeFileSync(at('x.png'), readFileSync(at('x.jpg')));
  expect((await loadImage(at('x.png'))).shape).toEqual([3, SIDE, SIDE]);
});

test('truncated and changed files end in an error or an image, never otherwise', async () => {
  await saveImage(picture(3), at('t.jpg'));
  const sound = readFileSync(at('t.jpg'));
  const scan = sound.indexOf(Buffer.from([0xff, 0xda]));
  const end = sound.subarray(-2);
  for (let length = 3; length < sound.length; length += length < scan ? 17 : 1) {
    await expectCorrupt(loadImage, at('t.jpg'), sound.subarray(0, length));
  }
  for (let length = scan; length < sound.length - 2; length++) {
    const shorter = Buffer.concat([sound.subarray(0, length), end]);
    await expectCorrupt(loadImage, at('t.jpg'), shorter); // no scan, or too little of it
  }
  const random = new Random(5);
  for (let round = 0; round < 200; round++) {
    const changed = Buffer.from(sound);
    for (let i = 0; i < 3; i++) changed[3 + random.below(changed.length - 3)] = random.below(256);
    writeFileSync(at('t.jpg'), changed);
    const error: unknown = await loadImage(at('t.jpg')).then(
      (image) => image.dispose(),
      (reason: unknown) => reason,
    );
    if (error) expect(error).toMatchObject({ code: 'FLUXION_CORRUPT_FILE' });
  }
});

test('an image that claims to be huge is refused before it is decoded', async () => {
  await saveImage(picture(1), at('h.jpg'));
  const bytes = Buffer.from(readFileSync(at('h.jpg')));
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  bytes.writeUInt32BE(0xffffffff, frame + 5);
  await expectCorrupt(loadImage, at('h.jpg'), bytes, /pixels, got 65535 x 65535/);
});

test('other formats and bad options are named', async () => {
  await expectCorrupt(loadImage, at('g.gif'), Buffer.from('GIF89a'), /signature of PNG or JPEG/);
  await expect(saveImage(rand([4, 2, 2]), at('a.jpg'))).rejects.toThrow('with C 1 or 3');
  await expect(saveImage(rand([2, 2]), at('a.jpg'), { quality: 0 })).rejects.toThrow('quality');
  await saveImage(rand([2, 2]), at('a.jpg'));
  await expect(loadImage(at('a.jpg'), { channels: 5 as never })).rejects.toThrow(
    'channels must be',
  );
  await expect(loadImage(at('a.jpg'), { chanels: 1 } as never)).rejects.toThrow(
    "no option 'chanels'",
  );
});
