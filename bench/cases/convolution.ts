import { type Tensor, conv2d, tidy } from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

/** A convolution with padding that keeps the plane, but for the stride; options as in conv2d. */
type Shape = {
  n: number;
  c: number;
  h: number;
  w: number;
  co: number;
  k: number;
  groups: number;
  stride: number;
  dilation: number;
};

const paddingOf = ({ k, dilation }: Shape) => (dilation * (k - 1)) / 2;
const outputSize = (s: Shape, size: number) => Math.floor((size - 1) / s.stride) + 1;

const IMAGES = { n: 32, c: 64, h: 64, w: 64, co: 64 };
const SMALL = { n: 2, c: 4, h: 5, w: 6, co: 4 };

type Values = ArrayLike<number>;

/** Sum over the kernel of x and weight, for one output. */
function output(x: Values, weight: Values, s: Shape, [b, o, i, j]: number[]): number {
  const inputs = s.c / s.groups;
  const first = Math.floor(o! / (s.co / s.groups)) * inputs;
  let value = 0;
  eachTap(s, i!, j!, (dy, dx, y, z) => {
    for (let q = 0; q < inputs; q++) {
      const pixel = x[((b! * s.c + first + q) * s.h + y) * s.w + z]!;
      value += pixel * weight[((o! * inputs + q) * s.k + dy) * s.k + dx]!;
    }
  });
  return value;
}

/** Visits the taps of output (i, j) that lie inside the plane. */
function eachTap(
  s: Shape,
  i: number,
  j: number,
  visit: (dy: number, dx: number, y: number, x: number) => void,
): void {
  const pad = paddingOf(s);
  for (let dy = 0; dy < s.k; dy++) {
    for (let dx = 0; dx < s.k; dx++) {
      const y = i * s.stride + dy * s.dilation - pad;
      const x = j * s.stride + dx * s.dilation - pad;
      if (y >= 0 && y < s.h && x >= 0 && x < s.w) visit(dy, dx, y, x);
    }
  }
}

/** d <g, conv(x, weight)> / d weight[o, q, dy, dx]. */
function weightGradient(x: Values, g: Values, s: Shape, [o, q, dy, dx]: number[]): number {
  const inputs = s.c / s.groups;
  const channel = Math.floor(o! / (s.co / s.groups)) * inputs + q!;
  const pad = paddingOf(s);
  const [oh, ow] = [outputSize(s, s.h), outputSize(s, s.w)];
  let value = 0;
  for (let b = 0; b < s.n; b++) {
    for (let i = 0; i < oh; i++) {
      const y = i * s.stride + dy! * s.dilation - pad;
      if (y < 0 || y >= s.h) continue;
      for (let j = 0; j < ow; j++) {
        const z = j * s.stride + dx! * s.dilation - pad;
        if (z < 0 || z >= s.w) continue;
        const pixel = x[((b * s.c + channel) * s.h + y) * s.w + z]!;
        value += g[((b * s.co + o!) * oh + i) * ow + j]! * pixel;
      }
    }
  }
  return value;
}

/** d <g, conv(x, weight)> / d x[b, c, y, z]: the outputs that read it. */
function inputGradient(weight: Values, g: Values, s: Shape, [b, c, y, z]: number[]): number {
  const [inputs, outputs] = [s.c / s.groups, s.co / s.groups];
  const [oh, ow, pad] = [outputSize(s, s.h), outputSize(s, s.w), paddingOf(s)];
  const group = Math.floor(c! / inputs);
  let value = 0;
  for (let dy = 0; dy < s.k; dy++) {
    for (let dx = 0; dx < s.k; dx++) {
      const i = (y! + pad - dy * s.dilation) / s.stride;
      const j = (z! + pad - dx * s.dilation) / s.stride;
      if (!Number.isInteger(i) || !Number.isInteger(j)) continue;
      if (i < 0 || i >= oh || j < 0 || j >= ow) continue;
      for (let o = group * outputs; o < (group + 1) * outputs; o++) {
        const factor = weight[((o * inputs + (c! % inputs)) * s.k + dy) * s.k + dx]!;
        value += factor * g[((b! * s.co + o) * oh + i) * ow + j]!;
      }
    }
  }
  return value;
}

function unravel(index: number, shape: readonly number[]): number[] {
  const at: number[] = [];
  for (const size of [...shape].reverse()) {
    at.unshift(index % size);
    index = Math.floor(index / size);
  }
  return at;
}

/** Compares `count` entries of a tensor, spread over it, with a function of their subscripts. */
function compare(what: string, t: Tensor, count: number, f: (at: number[]) => number, tol: number) {
  const values = t.dataSync();
  for (let k = 0; k < count; k++) {
    const index = Math.floor((k * (values.length - 1)) / Math.max(1, count - 1));
    expectClose(`${what}[${index}]`, values[index]!, f(unravel(index, t.shape)), tol);
  }
}

interface Variant {
  name: string;
  k: number;
  depthwise?: boolean;
  sizes?: typeof IMAGES;
  groups?: number;
  stride?: number;
  dilation?: number;
}

function convolution(variant: Variant, backward: boolean): Case {
  const { name, k, depthwise = false, stride = 1, dilation = 1, sizes = IMAGES } = variant;
  const of = (images: typeof IMAGES): Shape => {
    const groups = depthwise ? images.c : Math.min(variant.groups ?? 1, images.c);
    return { ...images, k, groups, stride, dilation };
  };
  return defineCase<Shape>({
    name: `${name}/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'conv2d-backward' : 'conv2d',
    peers: TORCH,
    dtype: 'float32',
    sizes: of(sizes),
    small: of(SMALL),
    floors: (s) => {
      const inputs = s.n * s.c * s.h * s.w;
      const outputs = s.n * s.co * outputSize(s, s.h) * outputSize(s, s.w);
      // Backward: dx and dweight each read g; depthwise, where bytes count, once for both.
      const forwardBytes = 4 * (inputs + outputs);
      const backwardBytes = depthwise ? 8 * inputs + 4 * outputs : 8 * (inputs + outputs);
      return {
        bytes: forwardBytes + (backward ? backwardBytes : 0),
        flops: (2 * k * k * outputs * s.c * (backward ? 3 : 1)) / s.groups,
      };
    },
    inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w * (backward ? 2 : 1),
    setup: (s, sets) => {
      const shapeOfY = [s.n, s.co, outputSize(s, s.h), outputSize(s, s.w)];
      const x = inputSets(sets, [s.n, s.c, s.h, s.w], { requiresGrad: backward });
      const g = backward ? inputSets(sets, shapeOfY, { seed: 2 }) : [];
      const weightShape = [s.co, s.c / s.groups, s.k, s.k];
      const [weight] = inputSets(1, weightShape, { seed: 3, requiresGrad: backward }) as [Tensor];
      const run = (set: number) => {
        const y = conv2d(x[set]!, weight, {
          padding: paddingOf(s),
          groups: s.groups,
          stride: s.stride,
          dilation: s.dilation,
        });
        if (!backward) return y;
        clearGrads(x[set]!, weight);
        y.backward(g[set]);
        return y;
      };
      return {
        run,
        verify: () =>
          tidy(() => {
            const y = run(0);
            const [input, w] = [x[0]!.dataSync(), weight.dataSync()];
            compare(name, y, 1000, (at) => output(input, w, s, at), 1e-4);
            if (!backward) return;
            const cotangent = g[0]!.dataSync();
            const dx = (at: number[]) => inputGradient(w, cotangent, s, at);
            const dw = (at: number[]) => weightGradient(input, cotangent, s, at);
            compare(`dx of ${name}`, x[0]!.grad!, 1000, dx, 1e-4);
            compare(`dw of ${name}`, weight.grad!, 60, dw, 2e-3);
          }),
      };
    },
  });
}

const VARIANTS: readonly Variant[] = [
  { name: 'conv2d-3x3', k: 3 },
  { name: 'conv2d-1x1', k: 1 },
  { name: 'depthwise-3x3', k: 3, depthwise: true },
  // The two stages of the RDNN's training step, with planes that are no multiple of a vector.
  { name: 'conv2d-28x28', k: 3, sizes: { n: 64, c: 32, h: 28, w: 28, co: 32 } },
  { name: 'conv2d-14x14', k: 3, sizes: { n: 64, c: 64, h: 14, w: 14, co: 64 } },
  { name: 'depthwise-7x7', k: 7, depthwise: true },
  { name: 'conv2d-5x5', k: 5 },
  { name: 'conv2d-3x3-stride-2', k: 3, stride: 2 },
  { name: 'conv2d-3x3-dilation-2', k: 3, dilation: 2 },
  { name: 'conv2d-3x3-groups-8', k: 3, groups: 8 },
];

export const CONVOLUTION: readonly Case[] = VARIANTS.flatMap((variant) => [
  convolution(variant, false),
  convolution(variant, true),
]);
