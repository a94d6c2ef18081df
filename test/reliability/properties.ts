// npm run reliability:properties -- --runs=300 --views=3 --seed=1
//
// For every operator: calls made from those of the case tables by changing sizes, shapes, dtypes, values, layouts,
// arguments and options, valid or not (attempt.ts says what may come of them); results of views equal those of
// contiguous copies, those of the plainest instruction set those of the best. For every case: random views against
// its float64 reference. A child process does the work: a crash is counted, named, and the rest goes on.
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { FluxionError, setNumThreads, tidy } from '../../lib';
import { native } from '../../lib/native';
import { type Case, inputValues, randomStream, toleranceOf } from '../cases/case';
import { attempt, copiesBy, perturbedBy, setInstructionSet, viewsBy } from './attempt';
import { mutatedCall, mutations } from './mutations';
import { type Call, describe, notCalled, recordedCalls } from './recorded-calls';
import { type Outcome, ROOT, argumentsOf, runRecorded } from './record';
import { requireReference, requireSame } from './same';
import { contiguousOf, moved, shownValues, viewOf, viewPlans } from './views';

const settings = argumentsOf({ runs: 300, views: 3, seed: 1, only: '', child: '' });
/** A call that takes longer hangs, as far as a user can see. */
const PATIENCE = 60_000;

/** Whether a matrix is singular can depend on the last bit. */
const MAY_BE_SINGULAR = /^(solve|inv|solveTriangular|cholesky|tridiagonalSolve)$/;

/** What a child reports about one function or one case. */
interface Report {
  subject: string;
  calls: number;
  outcomes: Record<string, number>;
  failure?: string;
}

/** Names of the options of a function: it lists them when it is given one that it does not have. */
function optionsOf({ name, args }: Call): string[] {
  const plain = (value: unknown) =>
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype;
  const own = plain(args.at(-1)) ? Object.keys(args.at(-1) as object) : [];
  const given = { name, args: [...(own.length > 0 ? args.slice(0, -1) : args), { '?': 1 }] };
  let message = '';
  tidy(() => {
    try {
      attemptRaw(given);
    } catch (error) {
      message = (error as Error).message;
    }
  });
  const listed = /options are (.*)$/.exec(message)?.[1]?.split(', ') ?? [];
  return [...new Set([...own, ...listed])];
}

function attemptRaw(call: Call): void {
  const make = copiesBy({ order: 0, before: [], after: [], step: [], expanded: 0 }, false);
  const outcome = attempt(call, make);
  if ('code' in outcome) throw new FluxionError('FLUXION_INTERNAL', '', outcome.code);
}

/** Seeds of a name, so that each function has its own. */
const seedOf = (name: string) =>
  [...name].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 16777619), settings.seed) | 0;

interface Progress {
  note: (text: string) => void;
}

function checkFunction(name: string, calls: readonly Call[], { note }: Progress): Report {
  const report: Report = { subject: name, calls: 0, outcomes: {} };
  const sets = native.config().instructionSets.split(' ');
  const options = calls.length > 0 ? optionsOf(calls[0]!) : [];
  const generated = fc.record({
    base: fc.nat(calls.length - 1),
    changes: fc.array(mutations, { minLength: 1, maxLength: 3 }),
    plan: viewPlans(),
    gradients: fc.boolean(),
  });
  const property = fc.property(generated, ({ base, changes, plan, gradients }) => {
    const call = mutatedCall(calls[base]!, changes, options);
    note(describe(call));
    const outcome = attempt(call, viewsBy(plan, gradients));
    report.calls++;
    const kind = 'code' in outcome ? outcome.code : 'values';
    report.outcomes[kind] = (report.outcomes[kind] ?? 0) + 1;
    if ('code' in outcome && outcome.code !== 'FLUXION_OUT_OF_MEMORY') return;
    const perturbed = (seed: number) => attempt(call, perturbedBy(plan, gradients, seed));
    const copied = attempt(call, copiesBy(plan, gradients));
    requireSame([outcome, copied], 'a view and its copy', call, perturbed);
    report.calls++;
    setInstructionSet(sets[0]!);
    try {
      const plainest = attempt(call, viewsBy(plan, gradients));
      if ('code' in plainest && MAY_BE_SINGULAR.test(name)) return;
      setInstructionSet(sets.at(-1)!);
      requireSame([outcome, plainest], 'instruction sets', call, perturbed);
      report.calls++;
    } finally {
      setInstructionSet(sets.at(-1)!);
    }
  });
  const parameters = { numRuns: settings.runs, seed: seedOf(name), endOnFailure: false };
  const result = fc.check(property, parameters);
  if (result.failed) {
    const [found] = result.counterexample!;
    const call = mutatedCall(calls[found.base]!, found.changes, options);
    const error = result.errorInstance as Error;
    report.failure = `${describe(call)}: ${error.message} (seed ${result.seed})`;
  }
  return report;
}

/** Layouts whose views show other values only where a case allows any. */
function checkCase(c: Case, { note }: Progress): Report {
  const report: Report = { subject: c.name, calls: 0, outcomes: {} };
  const expand = c.inputs.every((input) => !input.generate);
  const values = inputValues(c);
  const generated = fc.record({
    dtype: fc.constantFrom('float32' as const, 'float64' as const),
    plans: fc.tuple(...c.inputs.map(() => viewPlans({ expand }))),
  });
  const property = fc.property(generated, ({ dtype, plans }) => {
    note(`${c.name}, ${dtype}`);
    const contents = values.map(({ shape, data }, i) =>
      shownValues({ shape, data, dtype: c.inputs[i]!.dtype ?? dtype }, plans[i]!),
    );
    const expected = c.reference(...contents);
    tidy(() => {
      const result = c.run(...contents.map((content, i) => viewOf(content, plans[i]!)));
      const copied = c.run(...contents.map(contiguousOf));
      const precision = result.dtype === 'float32' ? 'float32' : dtype;
      const tolerance = toleranceOf(c, precision);
      const perturbed = (seed: number) => {
        const random = randomStream(seed);
        return c.reference(...contents.map((content) => moved(content, random))).data;
      };
      requireReference(result.dataSync(), expected.data, tolerance, perturbed);
      requireReference(result.dataSync(), copied.dataSync(), tolerance, perturbed);
    });
    report.calls += 2;
    report.outcomes.values = (report.outcomes.values ?? 0) + 2;
  });
  const parameters = { numRuns: settings.views, seed: seedOf(c.name), verbose: 0 };
  const result = fc.check(property, parameters);
  if (result.failed)
    report.failure = `${c.name}: ${(result.errorInstance as Error).message} ${JSON.stringify(result.counterexample)}`;
  return report;
}

/** Works through the subjects from one on, and writes a line for each. */
function child(from: number, inFlight: string): void {
  const { calls, cases } = recordedCalls();
  native.setCheckedMemory(true);
  setNumThreads(1);
  const file = openSync(inFlight, 'r+');
  const progress: Progress = {
    note: (text) => void writeSync(file, `${text.slice(0, 1900).padEnd(1999)}\n`, 0),
  };
  const wanted = (name: string) => settings.only === '' || name.includes(settings.only);
  const subjects: (() => Report)[] = [
    ...[...calls]
      .filter(([name]) => wanted(name))
      .map(
        ([name, list]) =>
          () =>
            checkFunction(name, list, progress),
      ),
    ...cases.filter((c) => wanted(c.name)).map((c) => () => checkCase(c, progress)),
  ];
  const missing = settings.only === '' ? notCalled(calls) : [];
  const say = (value: unknown) => void writeSync(1, `${JSON.stringify(value)}\n`);
  say({ subjects: subjects.length, functions: calls.size, cases: cases.length, missing });
  for (const subject of subjects.slice(from)) say(subject());
  closeSync(file);
}

interface Header {
  subjects: number;
  functions: number;
  cases: number;
  missing: string[];
}

async function parent(): Promise<Outcome> {
  const folder = mkdtempSync(path.join(tmpdir(), 'fluxion-properties-'));
  const inFlight = path.join(folder, 'call');
  const reports: Report[] = [];
  let header: Header | undefined;
  let crashes = 0;
  const details: string[] = [];
  try {
    while (!header || reports.length < header.subjects) {
      closeSync(openSync(inFlight, 'w'));
      const ended = await runChild(reports.length, inFlight, (line) => {
        if ('subjects' in line) header = line;
        else reports.push(line);
      });
      if (header && reports.length === header.subjects) break;
      crashes++;
      const call = readFileSync(inFlight, 'utf8').trim();
      details.push(`${ended} in ${call}`);
      if (!header) throw new Error(`the child process did not start: ${ended}`);
      reports.push({ subject: call, calls: 0, outcomes: { crash: 1 } });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  for (const { failure } of reports) if (failure) details.push(failure);
  if (header.missing.length > 0) details.push(`no calls of ${header.missing.join(', ')}`);
  return { figures: figuresOf(header, reports, crashes), failures: details.length, details };
}

function figuresOf(header: Header, reports: readonly Report[], crashes: number) {
  const outcomes: Record<string, number> = {};
  for (const report of reports)
    for (const [kind, count] of Object.entries(report.outcomes))
      outcomes[kind] = (outcomes[kind] ?? 0) + count;
  const refused = Object.entries(outcomes).filter(([kind]) => kind.startsWith('FLUXION_'));
  return {
    'public functions': header.functions,
    'rows of the case tables': header.cases,
    'calls made': reports.reduce((sum, { calls }) => sum + calls, 0),
    'calls refused with a code': refused.reduce((sum, [, count]) => sum + count, 0),
    ...Object.fromEntries(refused.sort(([a], [b]) => (a < b ? -1 : 1))),
    crashes,
  };
}

/** How the child ended. */
function runChild(
  from: number,
  inFlight: string,
  take: (line: Header | Report) => void,
): Promise<string> {
  const args = ['-r', path.join(ROOT, 'test/register-typescript.cjs'), __filename];
  for (const [name, value] of Object.entries(settings))
    if (name !== 'child') args.push(`--${name}=${value}`);
  args.push(`--child=${from} ${inFlight}`);
  const env = { ...process.env, FLUXION_MEMORY_LIMIT: '256M' };
  const process_ = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let timer: NodeJS.Timeout;
  let hung = false;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (hung = process_.kill('SIGKILL')), PATIENCE + 1000 * settings.runs);
  };
  watch();
  createInterface(process_.stdout).on('line', (line) => {
    watch();
    take(JSON.parse(line) as Header | Report);
  });
  return new Promise((resolve) =>
    process_.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve(hung ? 'no end' : `${signal ?? `status ${code}`}`);
    }),
  );
}

if (settings.child !== '') {
  const [, from, file] = /^(\d+) (.*)$/.exec(settings.child)!;
  child(Number(from), file!);
} else {
  void runRecorded('properties', parent);
}
