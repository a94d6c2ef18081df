import { native } from '../../lib/native';
import { normalizeBytes, tensor } from '../../lib/ops';
import { config } from '../../lib/tensor/runtime';
import { Random } from '../../lib/data';

const f = Math.fround;
const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
const sets = config().instructionSets;
afterEach(() => void native.setInstructionSet(sets.at(-1)!));

// The kernel divides by products with corrections; the host, and PyTorch, divide.
test.each(sets)('the bits of three rounded steps, for all bytes and any statistics: %s', (set) => {
  expect(native.setInstructionSet(set)).toBe(true);
  const random = new Random(3);
  const pairs: [number, number][] = [
    [0, 1],
    [0.1307, 0.3081],
    [1e30, 1e30],
    [0, 1e-30],
    [0, 1e30],
    [-1, f(1 / 255)],
  ];
  for (let i = 0; i < 250; i++)
    pairs.push([2 * random.uniform() - 1, 10 ** (6 * random.uniform() - 3)]);
  const mean = Float32Array.from(pairs, ([m]) => m);
  const std = Float32Array.from(pairs, ([, s]) => s);
  const images = new Uint8Array(256 * pairs.length);
  pairs.forEach((_, c) => images.set(bytes, 256 * c));
  const x = tensor(images, { shape: [1, pairs.length, 256] });
  const got = normalizeBytes(x, tensor(mean), tensor(std)).dataSync();
  const expected = Float32Array.from(images, (byte, i) => {
    const c = Math.floor(i / 256);
    return f(f(f(byte / 255) - mean[c]!) / std[c]!);
  });
  expect(Buffer.from(got.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
});

test.each<[string, () => unknown]>([
  ['images must be uint8', () => normalizeBytes(tensor([[1]]), tensor([0]), tensor([1]))],
  [
    'images must have shape [N, C, ...]',
    () => normalizeBytes(tensor(bytes), tensor([0]), tensor([1])),
  ],
  ['std', () => normalizeBytes(tensor(bytes, { shape: [2, 2, 64] }), tensor([0, 0]), tensor([1]))],
  [
    'mean',
    () =>
      normalizeBytes(
        tensor(bytes, { shape: [2, 1, 128] }),
        tensor([0], { dtype: 'float64' }),
        tensor([1]),
      ),
  ],
])('an error names the argument: %s', (message, run) => {
  expect(run).toThrow(message);
  expect(run).toThrow('normalizeBytes');
});
