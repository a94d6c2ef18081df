import { meshFreeConv1d, meshFreeConv2d } from '../../lib';
import { type Case, type Input, type Values } from './case';

/** Signed modes of n cells and whether each is the Nyquist mode. */
function modesOf(n: number, length: number): { w: number; odd: number }[] {
  return Array.from({ length: n }, (_, k) => {
    const mode = 2 * k <= n ? k : k - n;
    const w = (2 * Math.PI * mode) / length;
    return { w, odd: 2 * mode === n ? 0 : w };
  });
}

/** The symbol of one pair by its definition. */
function symbol(
  a: readonly number[],
  [p1, p2, p3]: readonly number[],
  x: { w: number; odd: number },
  y: { w: number; odd: number },
): [number, number] {
  const [m11, m12, m22] = [p1! ** 2, p1! * p2!, p2! ** 2 + p3! ** 2];
  const xy = x.odd * y.odd;
  const e = Math.exp(-(m11 * x.w ** 2 + 2 * m12 * xy + m22 * y.w ** 2));
  const second = a.length > 3 ? a[3]! * x.w ** 2 + a[4]! * xy + a[5]! * y.w ** 2 : 0;
  return [(a[0]! - second) * e, (a[1]! * x.odd + a[2]! * y.odd) * e];
}

/** Complex transform of each line along one axis of [h, w], by the definition. */
function transform(re: Float64Array, im: Float64Array, h: number, w: number, sign: 1 | -1) {
  const pass = (n: number, lines: number, step: number, jump: number) => {
    const angle = (k: number) => (sign * 2 * Math.PI * k) / n;
    const table = Array.from({ length: n }, (_, k) => [Math.cos(angle(k)), Math.sin(angle(k))]);
    for (let line = 0; line < lines; line++) {
      const out = Array.from({ length: n }, (_, k) => {
        let [a, b] = [0, 0];
        for (let j = 0; j < n; j++) {
          const [c, s] = table[(j * k) % n] as [number, number];
          const p = line * jump + j * step;
          a += re[p]! * c - im[p]! * s;
          b += re[p]! * s + im[p]! * c;
        }
        return [a, b];
      });
      out.forEach(([a, b], k) => {
        re[line * jump + k * step] = a!;
        im[line * jump + k * step] = b!;
      });
    }
  };
  pass(w, h, 1, w);
  pass(h, w, w, 1);
}

interface Operands {
  weight: Values;
  gaussian: Values | null;
  bias: Values | null;
}

/** Both convolutions on [N, C, H, W] by full complex transforms; weights in the order of the 2-d one. */
function reference(u: Values, { weight, gaussian, bias }: Operands, lengths: [number, number]) {
  const [n, ci, h, w] = u.shape as [number, number, number, number];
  const [co, , last] = weight.shape as [number, number, number];
  const moments = gaussian ? last : last - 3;
  const [xs, ys] = [modesOf(w, lengths[0]), modesOf(h, lengths[1])];
  const cells = h * w;
  const spectra = Array.from({ length: n * ci }, (_, p) => {
    const re = Float64Array.from(u.data.subarray(p * cells, (p + 1) * cells));
    const im = new Float64Array(cells);
    transform(re, im, h, w, -1);
    return { re, im };
  });
  const data = new Float64Array(n * co * cells);
  for (let b = 0; b < n; b++) {
    for (let o = 0; o < co; o++) {
      const [re, im] = [new Float64Array(cells), new Float64Array(cells)];
      for (let i = 0; i < ci; i++) {
        const pair = [...weight.data.subarray((o * ci + i) * last, (o * ci + i + 1) * last)];
        const a = pair.slice(0, moments);
        const p = gaussian ? [...gaussian.data.subarray(3 * i, 3 * i + 3)] : pair.slice(moments);
        const x = spectra[b * ci + i]!;
        for (let k = 0; k < cells; k++) {
          const [c, s] = symbol(a, p, xs[k % w]!, ys[Math.floor(k / w)]!);
          re[k]! += c * x.re[k]! - s * x.im[k]!;
          im[k]! += c * x.im[k]! + s * x.re[k]!;
        }
      }
      transform(re, im, h, w, 1);
      const begin = (b * co + o) * cells;
      for (let k = 0; k < cells; k++) {
        if (Math.abs(im[k]! / cells) > 1e-9) throw new Error('the result is not real');
        data[begin + k] = re[k]! / cells + (bias ? bias.data[o]! : 0);
      }
    }
  }
  return { shape: [n, co, h, w], data };
}

/** A tensor whose last axis is spread: position j of the result is column from[j], or 0 where that is -1. */
function spread(t: Values, from: readonly number[]): Values {
  const last = t.shape[t.shape.length - 1]!;
  const rows = t.data.length / last;
  const data = new Float64Array(rows * from.length);
  for (let r = 0; r < rows; r++) {
    from.forEach((j, k) => (data[r * from.length + k] = j < 0 ? 0 : t.data[r * last + j]!));
  }
  return { shape: [...t.shape.slice(0, -1), from.length], data };
}

interface Form {
  u: readonly number[];
  outputs: number;
  second: boolean;
  shared: boolean;
  bias: boolean;
  length: number | [number, number];
}

// Moments and widths of the order of a cell or a few.
const coefficients = (shape: readonly number[]): Input => ({
  shape,
  generate: (size, random) =>
    Float64Array.from({ length: size }, () => Math.fround(0.5 * (2 * random() - 1))),
});

function meshFreeCase(form: Form): Case {
  const { u, outputs, second, shared, bias, length } = form;
  const line = u.length === 3;
  const moments = line ? (second ? 3 : 2) : second ? 6 : 3;
  const widths = line ? 1 : 3;
  const inputs: Input[] = [
    { shape: u },
    coefficients([outputs, u[1]!, moments + (shared ? 0 : widths)]),
    ...(shared ? [coefficients([u[1]!, widths])] : []),
    ...(bias ? [{ shape: [outputs] }] : []),
  ];
  const name = line ? 'meshFreeConv1d' : 'meshFreeConv2d';
  const terms = [second ? 'second order' : '', shared ? 'shared' : '', bias ? 'bias' : ''];
  return {
    name: `${name} [${u.join(',')}] to ${outputs} ${terms.filter(Boolean).join(' ')}`.trim(),
    ops: [line ? 'mesh_free_conv1d' : 'mesh_free_conv2d'],
    inputs,
    run: (x, weight, ...rest) => {
      const options = {
        gaussian: shared ? rest[0]! : null,
        bias: bias ? rest[rest.length - 1]! : null,
      };
      return line
        ? meshFreeConv1d(x, weight, { ...options, length: length as number })
        : meshFreeConv2d(x, weight, { ...options, length });
    },
    reference: (x, weight, ...rest) => {
      const gaussian = shared ? rest[0]! : null;
      const operands = { weight, gaussian, bias: bias ? rest[rest.length - 1]! : null };
      if (!line) {
        const lengths: [number, number] = typeof length === 'number' ? [length, length] : length;
        return reference(x, operands, lengths);
      }
      const order = second ? [0, 1, -1, 2, -1, -1] : [0, 1, -1];
      operands.weight = spread(weight, shared ? order : [...order, moments, -1, -1]);
      if (gaussian) operands.gaussian = spread(gaussian, [0, -1, -1]);
      const [n, c, cells] = x.shape as [number, number, number];
      const plane = reference({ shape: [n, c, 1, cells], data: x.data }, operands, [
        length as number,
        1,
      ]);
      return { shape: [n, outputs, cells], data: plane.data };
    },
    linearIn: bias ? [] : [0],
    // The largest values are sums over pairs of second derivatives, about 100 times the field.
    tolerance: { float32: 5e-5, float64: 1e-12 },
  };
}

// Sizes around the vector widths; batches and channels around the register tiles.
const PLANES: readonly [readonly number[], number][] = [
  [[1, 1, 1, 1], 1],
  [[2, 1, 1, 5], 2],
  [[1, 2, 2, 3], 3],
  [[3, 2, 3, 2], 1],
  [[2, 2, 2, 2], 2],
  [[1, 3, 15, 17], 2],
  [[2, 1, 16, 16], 5],
  [[1, 2, 31, 4], 1],
];
const LINES: readonly [readonly number[], number][] = [
  [[1, 1, 1], 1],
  [[2, 3, 2], 2],
  [[3, 2, 3], 4],
  [[1, 2, 15], 1],
  [[2, 1, 16], 5],
  [[5, 4, 17], 2],
  [[1, 2, 31], 2],
  [[1, 1, 127], 1],
];

const FORMS = [false, true].flatMap((second) =>
  [false, true].map((shared) => ({ second, shared })),
);

export const MESH_FREE: Case[] = [
  ...FORMS.flatMap(({ second, shared }, k) => [
    ...PLANES.map(([u, outputs], i) =>
      meshFreeCase({ u, outputs, second, shared, bias: (i + k) % 2 === 1, length: [5, 8] }),
    ),
    ...LINES.map(([u, outputs], i) =>
      meshFreeCase({ u, outputs, second, shared, bias: (i + k) % 2 === 0, length: 7 }),
    ),
  ]),
  // More inputs than a tile is deep, more outputs than a block of the weight's gradient has.
  meshFreeCase({
    u: [2, 35, 3, 4],
    outputs: 2,
    second: false,
    shared: false,
    bias: false,
    length: 3,
  }),
  meshFreeCase({
    u: [1, 3, 4, 3],
    outputs: 37,
    second: true,
    shared: false,
    bias: true,
    length: 3,
  }),
  meshFreeCase({
    u: [1, 1, 64, 3],
    outputs: 1,
    second: false,
    shared: false,
    bias: false,
    length: 20,
  }),
  meshFreeCase({
    u: [1, 1, 2, 100],
    outputs: 1,
    second: true,
    shared: true,
    bias: false,
    length: [50, 1],
  }),
  {
    name: 'meshFreeConv2d of an empty batch',
    ops: ['mesh_free_conv2d'],
    inputs: [{ shape: [0, 2, 5, 6] }, coefficients([3, 2, 6])],
    run: (u, weight) => meshFreeConv2d(u, weight),
    reference: () => ({ shape: [0, 3, 5, 6], data: new Float64Array(0) }),
    gradient: 'there is nothing to differentiate',
  },
];
