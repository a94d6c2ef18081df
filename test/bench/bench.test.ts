// The harness, not the speed: the path of a trial, and that a wrong result fails it.
import * as fluxion from '../../lib';
import { expectClose, expectSampled } from '../../bench/case';
import { CASES, selectCases } from '../../bench/cases';
import { median, medianAbsoluteDeviation } from '../../bench/measure';
import { insertReport } from '../../bench/report';
import { runTrial } from '../../bench/trial';

// The benchmarks use the built package; here they get its sources, and a silu that is wrong by 0.1 %.
jest.mock(
  'fluxion',
  () => {
    const actual = jest.requireActual<typeof fluxion>('../../lib');
    return { ...actual, silu: (x: fluxion.Tensor) => actual.silu(x).mul(1.001) };
  },
  { virtual: true },
);

const caseNamed = (name: string) => selectCases([name]).find((found) => found.name === name)!;

test.each(['add/8m', 'implicit-diffusion-2d/neumann-backward-euler/forward-backward'])(
  'a trial of %s',
  async (name) => {
    const report = await runTrial(caseNamed(name), { small: true });
    expect(report).toEqual({
      case: name,
      verified: true,
      sets: 2,
      threads: fluxion.config().threads,
      instructionSet: fluxion.config().instructionSet,
      median: expect.any(Number) as number,
      mad: expect.any(Number) as number,
      samples: expect.any(Array) as number[],
      calls: 1,
      peakBytes: expect.any(Number) as number,
    });
    expect(report.samples).toHaveLength(3);
    expect(report.median).toBe(median(report.samples));
    expect(report.median).toBeGreaterThan(0);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  },
);

test('a wrong result fails the trial', async () => {
  const wrong = caseNamed('silu/8m');
  await expect(runTrial(wrong, { small: true })).rejects.toThrow(/^silu\[\d+\]: expected /);
  expect((await runTrial(wrong, { small: true, verify: false })).verified).toBe(false);
});

test('NaN is never close', () => {
  expect(() => expectClose('x', NaN, 1, 1)).toThrow('x: expected 1 within 1, got NaN');
  expect(() => expectClose('x', 1, NaN, 1)).toThrow('x');
});

test('the checked positions include the last', () => {
  const values = new Float64Array(10_001);
  values[10_000] = 1;
  expect(() => expectSampled('x', values, () => 0, 1e-6, 100)).toThrow('x[10000]');
});

test('cases have their own names and positive floors', () => {
  expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  for (const { sizes, floors } of CASES) {
    const { bytes, flops } = floors(sizes);
    expect(bytes).toBeGreaterThan(0);
    expect(flops).toBeGreaterThan(0);
  }
  expect(selectCases(['conv2d-3x3/']).map(({ name }) => name)).toEqual([
    'conv2d-3x3/forward',
    'conv2d-3x3/forward-backward',
  ]);
});

test('median and spread', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(medianAbsoluteDeviation([1, 2, 3, 4, 100])).toBe(1);
});

test('a report goes between the markers', () => {
  const page = 'a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb';
  const once = insertReport(page, 'new');
  expect(once).toBe('a\n<!-- bench:begin -->\n\nnew\n\n<!-- bench:end -->\nb');
  expect(insertReport(once, 'new')).toBe(once);
  expect(() => insertReport('no markers', 'new')).toThrow('bench:begin');
});
