// Dense solvers by what they promise: small residuals, faults that name the batch element, gradients that satisfy
// the equations; einsum against naive loops on random equations; resampling of what it reproduces exactly.
import fc from 'fast-check';
import {
  type FluxionError,
  type Tensor,
  cholesky,
  einsum,
  embedding,
  eye,
  gather,
  interpolate,
  inv,
  matmul,
  ones,
  pad,
  randn,
  scatterAdd,
  solve,
  tensor,
  tidy,
  transpose,
  zeros,
} from '../../lib';
import { SEED, indicesOf, sizeOf } from '../cases/case';

const largest = (t: Tensor) => t.abs().max().item();
const parameters = { seed: SEED, numRuns: 60 };
const f64 = (shape: readonly number[], seed: number) => randn(shape, { seed, dtype: 'float64' });
const matmulT = (a: Tensor) => matmul(a, transpose(a, -1, -2));

describe('residuals', () => {
  test.each([1, 2, 15, 64, 65, 127, 128, 200])('of %i unknowns', (n) => {
    tidy(() => {
      const a = f64([2, n, n], n);
      const b = f64([2, n, 3], n + 1);
      const x = solve(a, b);
      const scale = largest(a) * largest(x) * n;
      expect(largest(matmul(a, x).sub(b))).toBeLessThan(1e-14 * scale);
      const y = inv(a);
      const unit = eye(n, { dtype: 'float64' });
      expect(largest(matmul(a, y).sub(unit))).toBeLessThan(1e-13 * largest(a) * largest(y) * n);
      const s = matmulT(a).add(unit);
      const l = cholesky(s);
      expect(largest(matmulT(l).sub(s))).toBeLessThan(1e-14 * largest(s) * n);
      expect(largest(l.triu({ diagonal: 1 }))).toBe(0);
    });
  });
});

describe('faults', () => {
  const caught = (f: () => unknown): FluxionError => {
    try {
      f();
    } catch (error) {
      return error as FluxionError;
    }
    throw new Error('nothing was thrown');
  };

  test.each([3, 130])('of the second of two matrices of size %i', (n) => {
    tidy(() => {
      const unit = eye(n, { dtype: 'float64' });
      const a = pad(unit.reshape([1, n, n]), [0, 0, 0, 0, 0, 1]); // the second is zero
      for (const [op, run] of [
        ['solve', () => solve(a, ones([2, n, 1], { dtype: 'float64' }))],
        ['inv', () => inv(a)],
        ['cholesky', () => cholesky(a)],
      ] as const) {
        const { code, message } = caught(() => run().dataSync());
        expect([code, message]).toEqual([
          'FLUXION_INVALID_ARGUMENT',
          expect.stringMatching(new RegExp(`^${op}: A must be .* in column 0 in batch element 1$`)),
        ]);
      }
    });
  });

  test('wrong shapes name the function', () => {
    const square = zeros([2, 2]);
    expect(() => solve(zeros([2, 3]), square)).toThrow(/^solve: A must have square matrices/);
    expect(() => solve(square, zeros([3, 1]))).toThrow(/^solve: B must have 2 rows/);
    expect(() => solve(zeros([2, 2, 2]), zeros([3, 2, 1]))).toThrow(/^solve: .*broadcast/);
    expect(() => inv(zeros([2]))).toThrow(/^inv: A must have square/);
    expect(() => cholesky(zeros([2, 1]))).toThrow(/^cholesky: A must have square/);
    expect(() => square.solveTriangular(square, {} as { upper: boolean })).toThrow(
      /^solveTriangular: upper must be true or false/,
    );
  });
});

describe('einsum', () => {
  /** Random terms over few letters, with sizes, and an output of some of the letters. */
  const equations = fc
    .record({
      terms: fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd'), maxLength: 3 }), {
        minLength: 1,
        maxLength: 3,
      }),
      sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 4, maxLength: 4 }),
      output: fc.shuffledSubarray(['a', 'b', 'c', 'd']),
    })
    .map(({ terms, sizes, output }) => ({
      terms,
      size: (letter: string) => sizes['abcd'.indexOf(letter)]!,
      output: output.filter((letter) => terms.some((term) => term.includes(letter))),
    }));

  test('is the sum over all letters of the products', () => {
    fc.assert(
      fc.property(equations, ({ terms, size, output }) => {
        const shapes = terms.map((term) => [...term].map(size));
        const values = shapes.map((shape, i) =>
          Float64Array.from({ length: sizeOf(shape) }, (_, p) => Math.sin(p * 1.7 + i)),
        );
        const letters = ['a', 'b', 'c', 'd'].filter((l) => terms.some((t) => t.includes(l)));
        const expected = new Float64Array(sizeOf(output.map(size)));
        for (const index of indicesOf(letters.map(size))) {
          const place = (names: Iterable<string>) => {
            let p = 0;
            for (const l of names) p = p * size(l) + index[letters.indexOf(l)]!;
            return p;
          };
          const product = terms.reduce((v, term, i) => v * values[i]![place(term)]!, 1);
          expected[place(output)]! += product;
        }
        const result = tidy(() => {
          const operands = values.map((v, i) => tensor(v, { shape: shapes[i]! }));
          return einsum(`${terms.join(',')}->${output.join('')}`, operands).dataSync();
        });
        expect(result.length).toBe(expected.length);
        result.forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 12));
      }),
      parameters,
    );
  });

  test.each([
    ['ij', 2, /a term for each of 2 operands/],
    ['i1', 1, /must have letters/],
    ['ij->ii', 1, /must name 'i' once/],
    ['ij->k', 1, /labels of the inputs, got 'k'/],
    ['ij->j->i', 1, /one '->' at most/],
    ['ijk', 1, /operand 0 must have the dimensions of 'ijk'/],
    ['...ijk', 1, /operand 0 must have the dimensions/],
    ['ii', 1, /one size for 'i', got 2 and 3/],
    ['ij,ij', 2, /one size for 'j', got 3 and 4/],
  ])('%s of %i operands is refused', (equation, count, message) => {
    const operands = [zeros([2, 3]), zeros([2, 4])].slice(0, count);
    expect(() => einsum(equation, operands)).toThrow(message);
    expect(() => einsum(equation, operands)).toThrow(/^einsum: /);
  });
});

describe('interpolate', () => {
  test.each(['linear', 'nearest', 'nearest-exact', 'area'] as const)(
    '%s keeps constants',
    (mode) => {
      tidy(() => {
        const y = interpolate(ones([1, 2, 13], { dtype: 'float64' }), { size: 29, mode });
        expect(largest(y.sub(1))).toBeLessThan(1e-15);
      });
    },
  );

  test('a line is exact between aligned corners', () => {
    tidy(() => {
      const line = tensor(
        Float64Array.from({ length: 9 }, (_, i) => 3 * i - 2),
        { shape: [1, 1, 9] },
      );
      const fine = interpolate(line, { size: 17, mode: 'linear', alignCorners: true }).dataSync();
      fine.forEach((v, i) => expect(v).toBeCloseTo(1.5 * i - 2, 12));
    });
  });

  test('what cannot be is refused under its name', () => {
    const x = zeros([1, 1, 4, 4]);
    const refused = (options: object, message: RegExp, input = x) =>
      expect(() => interpolate(input, options)).toThrow(message);
    refused({}, /^interpolate: either size or scaleFactor/);
    refused({ size: 2, scaleFactor: 2 }, /either size or scaleFactor/);
    refused({ size: [2, 2, 2] }, /size must be an integer > 0, or 2 of them/);
    refused({ size: 0 }, /size must be an integer > 0/);
    refused({ scaleFactor: 0.1 }, /size must be positive/);
    refused({ scaleFactor: -1 }, /scaleFactor must be a number > 0/);
    refused({ size: 2, mode: 'linear' }, /3 dimensions for mode 'linear', got 4/);
    refused({ size: 2, mode: 'cubic' }, /mode must be one of/);
    refused({ size: 2, alignCorners: true }, /alignCorners must be/);
    refused({ size: 2, antialias: true }, /there is no option 'antialias'/);
    refused({ size: 2, recomputeScaleFactor: true }, /recomputeScaleFactor must be/);
    refused({ size: 2 }, /3, 4 or 5 dimensions/, zeros([4, 4]));
  });
});

test('adding at positions and reading there are adjoint', () => {
  tidy(() => {
    const [x, y] = [f64([5, 7], 1), f64([9, 7], 2)];
    const index = tensor(
      Array.from({ length: 63 }, (_, i) => (i * 11) % 5),
      {
        shape: [9, 7],
        dtype: 'int32',
      },
    );
    const left = gather(x, 0, index).mul(y).sum().item();
    const right = x
      .mul(scatterAdd(zeros([5, 7], { dtype: 'float64' }), 0, index, y))
      .sum()
      .item();
    expect(left).toBeCloseTo(right, 12);
  });
});

test('an embedding leaves its padding row without gradient', () => {
  tidy(() => {
    const weight = f64([4, 2], 3);
    weight.requiresGrad = true;
    const index = tensor([1, 3, 1, 0], { dtype: 'int32' });
    embedding(index, weight, { paddingIdx: -1 }).sum().backward();
    expect([...weight.grad!.dataSync()]).toEqual([1, 1, 2, 2, 0, 0, 0, 0]);
  });
});
