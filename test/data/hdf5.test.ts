import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from './files';

const at = temporaryFolder();

function run(...args: string[]): Record<string, unknown> {
  const program = path.join(__dirname, 'programs/hdf5.cjs');
  const result = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  expect({ status: result.status, errors: result.stderr }).toEqual({ status: 0, errors: '' });
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

describe('files that h5wasm wrote', () => {
  let results: Record<string, unknown>;
  beforeAll(() => {
    mkdirSync(at('files'));
    results = run(at('files'));
  });

  test('datasets of each type', () => {
    expect(results.all).toEqual({
      field: ['float32', [4, 3, 2], [...Array(24).keys()]],
      double: ['float64', [2], [1.5, -2]],
      bytes: ['uint8', [2], [1, 255]],
      ints: ['int32', [2], [-1, 2]],
      short: ['int32', [2], [-3, 4]],
      long: ['int32', [2], [5, -6]],
      number: ['float64', [], [7.5]],
    });
  });

  test('slices', () => {
    expect(results.slice).toEqual({ field: ['float32', [2, 3, 1], [7, 9, 11, 19, 21, 23]] });
    expect(results.empty).toEqual({ field: ['float32', [0, 3, 2], []] });
    expect(results.large).toBe(true); // several pieces
  });

  test('wide integers: an error that leaks nothing, or float64', () => {
    expect(results.huge).toEqual([
      'FLUXION_UNSUPPORTED',
      expect.stringContaining('run/huge: int64 values must fit int32, value 0 is 1099511627776'),
    ]);
    expect(results.leaked).toBe(0);
    expect(results.wide).toEqual({ 'run/huge': ['float64', [1], [2 ** 40]] });
  });

  test('the description', () => {
    expect(results.described).toEqual({
      groups: { '': { title: 'test' }, run: { seed: 3 } },
      datasets: expect.objectContaining({
        field: { shape: [4, 3, 2], type: 'float32', attributes: { units: 'kg' } },
        long: { shape: [2], type: 'int64', attributes: {} },
        names: { shape: [2], type: 'other', attributes: {} },
        'run/huge': { shape: [1], type: 'int64', attributes: {} },
      }) as object,
    });
  });

  test.each([
    ['absent', 'FLUXION_INVALID_ARGUMENT', "datasets must be among ['bytes', "],
    ['names', 'FLUXION_UNSUPPORTED', "'names': elements of this type are not read"],
    ['range', 'FLUXION_INVALID_ARGUMENT', "inside of [0, 2] of 'ints', got [0, 3]"],
    [
      'dims',
      'FLUXION_INVALID_ARGUMENT',
      "slice must have at most the 1 dimensions of 'ints', got 2",
    ],
    ['corrupt', 'FLUXION_CORRUPT_FILE', 'must be an HDF5 file, its signature is not there'],
    ['enoent', 'ENOENT', 'no such file'],
  ])('errors: %s', (name, code, message) => {
    expect(results[name]).toEqual([code, expect.stringContaining(message)]);
  });
});

test('without the package the error says how to get it', () => {
  expect(run(at('.'), 'missing').missing).toEqual([
    'FLUXION_UNSUPPORTED',
    'loadHdf5: HDF5 files need the package h5wasm, which is not installed; run: npm install h5wasm',
  ]);
});
