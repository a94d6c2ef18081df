import { normalizeBytes, tensor } from '../../lib';
import { type Case, sizeOf } from './case';

/** Bytes, and statistics of the channels that are constants in both precisions. */
export const NORMALIZE_BYTES: Case[] = (
  [
    [0, 2, 5],
    [2, 3, 5, 7],
    [31, 1, 16, 17],
    [1, 2, 150, 127],
  ] as const
).map((shape) => {
  const channels = shape[1];
  const [mean, std] = [0, 1].map((k) =>
    Float32Array.from({ length: channels }, (_, c) => (k === 0 ? c / 8 : 1 - c / 4)),
  );
  const plane = sizeOf(shape.slice(2));
  return {
    name: `normalizeBytes [${String(shape)}]`,
    ops: ['normalize_bytes'],
    inputs: [{ shape, dtype: 'uint8', range: [0, 256] }],
    run: (x) =>
      normalizeBytes(x, tensor(mean!, { device: x.device }), tensor(std!, { device: x.device })),
    reference: (x) => ({
      shape,
      data: x.data.map((v, i) => {
        const c = Math.floor(i / plane) % channels;
        return (v / 255 - mean![c]!) / std![c]!;
      }),
    }),
    tolerance: { float64: 2e-6 },
    gradient: 'its input is bytes',
    bench: [{ shapes: [[128, 1, 256, 256]], elements: (5 / 4) * 2 ** 23, flops: 2 * 2 ** 23 }],
  };
});
