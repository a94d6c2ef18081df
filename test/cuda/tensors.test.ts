// Tensors on a GPU: where they are made, how they travel, what is refused.
import { add, devices, full, memory, rand, tensor, zeros, zerosLike } from '../../lib';
import { describeOnCuda, hostLayer } from './device';

describeOnCuda('tensors on a device', () => {
  test('devices() lists them with name and memory', () => {
    const found = devices().filter(({ device }) => device.startsWith('cuda'));
    expect(found[0]).toMatchObject({ device: 'cuda:0' });
    expect(found[0]!.memory).toBeGreaterThan(0);
  });

  test('are made there, and what is like them too', async () => {
    const x = tensor([[1, 2], [3, 4]], { device: 'cuda' }); // prettier-ignore
    expect(x.device).toBe('cuda:0');
    expect(zerosLike(x).device).toBe('cuda:0');
    expect(x.permute([1, 0]).device).toBe('cuda:0');
    expect(await x.permute([1, 0]).toArray()).toEqual([[1, 3], [2, 4]]); // prettier-ignore
    expect(Array.from(full([3], 7, { device: 'cuda', dtype: 'int32' }).dataSync())).toEqual([
      7, 7, 7,
    ]);
    x.dispose();
  });

  test('travel to and from the host with every dtype; the same tensor where nothing changes', () => {
    for (const dtype of [
      'float32',
      'float64',
      'int32',
      'uint8',
      'complex64',
      'complex128',
    ] as const) {
      const x = tensor([1, 2, 3, 4, 5, 6], {
        dtype: dtype.startsWith('complex') ? 'float32' : dtype,
      });
      const there = x.to('cuda');
      expect(there.device).toBe('cuda:0');
      expect(there.to('cuda')).toBe(there);
      expect(there.to('cuda:0')).toBe(there);
      expect(there.to('cpu').device).toBe('cpu');
      expect(Array.from(there.to('cpu').dataSync())).toEqual([1, 2, 3, 4, 5, 6]);
    }
    const view = tensor([[1, 2, 3], [4, 5, 6]]).permute([1, 0]); // prettier-ignore
    expect(Array.from(view.to('cuda').dataSync())).toEqual([1, 4, 2, 5, 3, 6]);
    expect(zeros([0, 3]).to('cuda').shape).toEqual([0, 3]);
  });

  test('gradients travel back', () => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    const y = x.to('cuda').clone();
    y.backward(tensor([4, 5, 6], { device: 'cuda' }));
    expect(x.grad!.device).toBe('cpu');
    expect(Array.from(x.grad!.dataSync())).toEqual([4, 5, 6]);
  });

  test('a large transfer passes through several pieces of pinned memory', async () => {
    const values = Float32Array.from({ length: 5_000_011 }, (_, i) => i % 8191);
    const x = tensor(values, { device: 'cuda' });
    expect(Buffer.compare(Buffer.from((await x.data()).buffer), Buffer.from(values.buffer))).toBe(
      0,
    );
    x.dispose();
  });

  test('of two devices do not mix: the error names both', () => {
    const x = zeros([2], { device: 'cuda' });
    expect(() => add(x, zeros([2]))).toThrow(
      expect.objectContaining({
        code: 'FLUXION_DEVICE_MISMATCH',
        message: expect.stringMatching(/'cuda:0' and 'cpu'/),
      }),
    );
  });

  test('a device that is not there is refused with the number of those that are', () => {
    expect(() => zeros([1], { device: 'cuda:99' })).toThrow(
      expect.objectContaining({ code: 'FLUXION_UNSUPPORTED' }),
    );
    expect(() => zeros([1], { device: 'gpu' })).toThrow(
      expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT' }),
    );
  });

  test('memory() counts each device', () => {
    const [before, host] = [memory('cuda').bytes, memory('cpu').bytes];
    const x = zeros([1024], { device: 'cuda' });
    expect(memory('cuda').bytes - before).toBe(4096);
    expect(memory('cpu').bytes).toBe(host);
    expect(memory().bytes).toBe(memory('cpu').bytes + memory('cuda').bytes);
    x.dispose();
    expect(memory('cuda').bytes).toBe(before);
  });

  test('random numbers are those of the CPU', () => {
    const [here, there] = (['cpu', 'cuda'] as const).map((device) =>
      rand([1000], { seed: 5, device }).dataSync(),
    );
    expect(there).toEqual(here);
  });

  test('too large a tensor is an error with figures, and the process goes on', () => {
    expect(() => zeros([2 ** 20, 2 ** 20], { device: 'cuda' })).toThrow(
      expect.objectContaining({
        code: 'FLUXION_OUT_OF_MEMORY',
        message: expect.stringMatching(/no memory for 4398046\.5 MB .* limit/),
      }),
    );
    expect(zeros([2], { device: 'cuda' }).dataSync()).toEqual(new Float32Array(2));
  });

  (hostLayer ? test : test.skip)('travel between two GPUs', () => {
    const x = tensor([1, 2, 3], { device: 'cuda:0' }).to('cuda:1');
    expect(x.device).toBe('cuda:1');
    expect(Array.from(x.dataSync())).toEqual([1, 2, 3]);
  });
});
