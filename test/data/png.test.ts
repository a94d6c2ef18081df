import { readFileSync } from 'node:fs';
import { tensor } from '../../lib/ops';
import { loadImage, saveImage } from '../../lib/data';
import { expectCorrupt, expectTruncationsRefused, fuzz, temporaryFolder } from './files';

const at = temporaryFolder();

describe('PNG', () => {
  const image = tensor(
    [0, 51, 102, 153, 204, 255].map((v) => v / 255),
    { shape: [1, 2, 3] },
  );

  test('grey', async () => {
    await saveImage(image, at('a.png'));
    const loaded = await loadImage(at('a.png'), { channels: 1 });
    expect(loaded.shape).toEqual([1, 2, 3]);
    expect([...loaded.dataSync()]).toEqual([...image.dataSync()]);
    expect((await loadImage(at('a.png'))).shape).toEqual([1, 2, 3]);
  });

  test('colour, alpha, clipping', async () => {
    const values = Array.from({ length: 4 * 4 }, (_, i) =>
      i === 0 ? -1 : i === 5 ? 7 : (i * 17) / 255,
    );
    await saveImage(tensor(values, { shape: [4, 2, 2] }), at('b.png'));
    const loaded = await loadImage(at('b.png'), { channels: 4 });
    const expected = values.map((v) => Math.fround(Math.min(Math.max(v, 0), 1)));
    expect([...loaded.dataSync()]).toEqual(expected);
    expect((await loadImage(at('b.png'))).shape).toEqual([4, 2, 2]);
    expect((await loadImage(at('b.png'), { channels: 2 })).shape).toEqual([2, 2, 2]);
  });

  test('truncated anywhere, changed anywhere', async () => {
    await saveImage(image, at('c.png'));
    const bytes = readFileSync(at('c.png'));
    await expectTruncationsRefused(loadImage, at('d.png'), bytes);
    await fuzz(loadImage, at('d.png'), bytes, { rounds: 1000 });
  });

  test('absurd sizes', async () => {
    const bytes = Buffer.from(readFileSync(at('c.png')));
    bytes.writeUInt32BE(0x7fffffff, 16);
    await expectCorrupt(loadImage, at('e.png'), bytes, /pixels/);
  });

  test('shapes that are no image', async () => {
    await expect(saveImage(tensor([1, 2]), at('f.png'))).rejects.toMatchObject({
      code: 'FLUXION_SHAPE_MISMATCH',
    });
  });
});
