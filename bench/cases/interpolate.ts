import { type Tensor, interpolate, tidy } from 'fluxion';
import { TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

interface Images {
  n: number;
  c: number;
  h: number;
  w: number;
}

const IMAGES: Images = { n: 16, c: 64, h: 64, w: 64 };

/** The value of one plane at a position between its points, by the definition. */
function bilinear(
  values: ArrayLike<number>,
  { h, w }: Images,
  plane: number,
  y: number,
  x: number,
) {
  const clamp = (i: number, n: number) => Math.min(Math.max(i, 0), n - 1);
  const [j, i] = [Math.floor(y), Math.floor(x)];
  const point = (dy: number, dx: number) =>
    values[(plane * h + clamp(j + dy, h)) * w + clamp(i + dx, w)]!;
  const [t, s] = [y - j, x - i];
  return (
    (1 - t) * ((1 - s) * point(0, 0) + s * point(0, 1)) +
    t * ((1 - s) * point(1, 0) + s * point(1, 1))
  );
}

function doubled(backward: boolean) {
  return defineCase<Images & Record<string, number | string>>({
    name: `interpolate/bilinear-x2/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'interpolate-bilinear-backward' : 'interpolate-bilinear',
    peers: TORCH,
    dtype: 'float32',
    sizes: { ...IMAGES },
    small: { n: 2, c: 3, h: 9, w: 7 },
    // The result has four times the elements; backward reads as many and writes the gradient.
    floors: ({ n, c, h, w }) => ({
      bytes: (backward ? 40 : 20) * n * c * h * w,
      flops: (backward ? 2 : 1) * 18 * n * c * h * w,
    }),
    inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w * (backward ? 5 : 1),
    setup: (s, sets) => {
      const shape = [s.n, s.c, s.h, s.w];
      const x = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, [s.n, s.c, 2 * s.h, 2 * s.w], { seed: 2 }) : [];
      const run = (set: number): Tensor => {
        const y = interpolate(x[set]!, { scaleFactor: 2, mode: 'bilinear' });
        if (!backward) return y;
        clearGrads(x[set]!);
        y.backward(g[set]);
        return y;
      };
      const verify = () =>
        tidy(() => {
          const y = run(0).dataSync();
          const from = x[0]!.dataSync();
          for (let p = 0; p < y.length; p += 1009) {
            const [i, j] = [p % (2 * s.w), Math.floor(p / (2 * s.w)) % (2 * s.h)];
            const plane = Math.floor(p / (4 * s.w * s.h));
            const expected = bilinear(from, s, plane, (j + 0.5) / 2 - 0.5, (i + 0.5) / 2 - 0.5);
            expectClose(`interpolate[${p}]`, y[p]!, expected, 1e-5);
          }
          if (!backward) return;
          // The weights of all outputs add up to 1, so constants have the sums of planes for gradients.
          const [gx, gy] = [x[0]!.grad!.dataSync(), g[0]!.dataSync()];
          const sum = (v: ArrayLike<number>, n: number) => {
            let total = 0;
            for (let p = 0; p < n; p++) total += v[p]!;
            return total;
          };
          expectClose('gradient', sum(gx, s.h * s.w), sum(gy, 4 * s.h * s.w), 1e-4);
        });
      return { run, verify };
    },
  });
}

export const INTERPOLATE = [doubled(false), doubled(true)];
