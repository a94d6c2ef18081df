import { type Tensor, einsum } from '../../lib';
import { type Case, type Values, at, build, indicesOf } from './case';

type Index = readonly number[];

/** The sum of products over all letters; `output` is given, and there is no ellipsis. */
function summedProducts(
  terms: readonly string[],
  output: string,
  operands: readonly Values[],
): Values {
  const sizes = new Map<string, number>();
  terms.forEach((term, i) =>
    [...term].forEach((l, d) => {
      const n = operands[i]!.shape[d]!;
      if ((sizes.get(l) ?? 1) === 1) sizes.set(l, n);
    }),
  );
  const inner = [...sizes.keys()].filter((l) => !output.includes(l));
  return build(
    [...output].map((l) => sizes.get(l)!),
    (index) => {
      const place = new Map([...output].map((l, d) => [l, index[d]!]));
      let sum = 0;
      for (const rest of indicesOf(inner.map((l) => sizes.get(l)!))) {
        inner.forEach((l, d) => place.set(l, rest[d]!));
        sum += terms.reduce(
          (product, term, i) =>
            product *
            at(
              operands[i]!,
              [...term].map((l) => place.get(l)!),
            ),
          1,
        );
      }
      return sum;
    },
  );
}

/** `plain` is the equation with letters for the ellipsis and the output said. */
function row(equation: string, shapes: readonly Index[], plain = equation): Case {
  const [left, output] = plain.replaceAll(' ', '').split('->') as [string, string];
  return {
    name: `einsum ${equation} of ${shapes.map((s) => `[${s.join()}]`).join(' ')}`,
    ops: ['reshape'],
    inputs: shapes.map((shape) => ({ shape, range: [-1, 1] })),
    run: (...x: Tensor[]) => einsum(equation, x),
    reference: (...x) => summedProducts(left.split(','), output, x),
    linearIn: shapes.map((_, i) => i),
    tolerance: { float32: 5e-6 },
  };
}

export const EINSUM: Case[] = [
  row('ij,jk->ik', [
    [3, 4],
    [4, 5],
  ]),
  row('bij,bjk->bik', [
    [2, 3, 4],
    [2, 4, 5],
  ]),
  row(
    'ij, jk',
    [
      [3, 4],
      [4, 5],
    ],
    'ij,jk->ik',
  ),
  row('ba', [[3, 4]], 'ba->ab'),
  row('ij->', [[3, 4]]),
  row('ij->j', [[3, 4]]),
  row('ii->i', [[4, 4]]),
  row('ii', [[4, 4]], 'ii->'),
  row('iij->ji', [[3, 3, 2]]),
  row('ijij->ij', [[2, 3, 2, 3]]),
  row('i,j->ij', [[3], [4]]),
  row('i,i->', [[17], [17]]),
  row('bi,bi->b', [
    [3, 5],
    [3, 5],
  ]),
  row('bi,bi->bi', [
    [3, 5],
    [3, 5],
  ]),
  row('bhqd,bhkd->bhqk', [
    [2, 2, 3, 4],
    [2, 2, 5, 4],
  ]),
  row('ab,bc,cd->ad', [
    [2, 31],
    [31, 3],
    [3, 4],
  ]),
  row('a,ab,b->', [[3], [3, 4], [4]]),
  row('a,b,c,d->dcba', [[2], [3], [1], [2]]),
  row(
    '...ij,...jk->...ik',
    [
      [2, 1, 3, 4],
      [5, 4, 2],
    ],
    'xyij,yjk->xyik',
  ),
  row(
    'i...,i...',
    [
      [3, 2, 4],
      [3, 4],
    ],
    'ixy,iy->xy',
  ),
  row('...a->...', [[2, 3, 4]], 'xya->xy'),
  row('b...c->c...', [[2, 3, 4]], 'bxc->cx'),
  row('ij,jk->ki', [
    [3, 1],
    [4, 5],
  ]),
  row('ia,ib->i', [
    [3, 4],
    [3, 2],
  ]),
  row(
    'Ab,bA',
    [
      [2, 3],
      [3, 2],
    ],
    'Ab,bA->',
  ),
  row('ij,jk->ik', [
    [3, 0],
    [0, 2],
  ]),
  row(',i->i', [[], [4]]),
  {
    name: 'einsum of int32',
    ops: ['mul', 'sum'],
    inputs: [
      { shape: [2, 3, 4], dtype: 'int32', range: [-9, 9] },
      { shape: [2, 4, 2], dtype: 'int32', range: [-9, 9] },
    ],
    run: (a, b) => einsum('bij,bjk->kbi', [a, b]),
    reference: (a, b) => summedProducts(['bij', 'bjk'], 'kbi', [a, b]),
  },
];
