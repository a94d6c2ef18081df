// The lists that must agree: the addon's ops, the ops that TypeScript defines and those that the cases run; the
// names of parameters; error codes; documentation; the methods of Tensor; the layers.
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import * as fluxion from '../../lib';
import { ERROR_CODES } from '../../lib/errors';
import { native } from '../../lib/native';
import { definedOps } from '../../lib/ops/define';
import { CASES } from '../cases';
import { type Case, differentiableInputs, inputTensors } from '../cases/case';

const root = path.join(__dirname, '../..');

/** Ops that no case runs, and where they are tested instead. */
const TESTED_ELSEWHERE: Record<string, string> = {
  adam_step: 'test/optim',
  assign: 'test/cuda/capture.test.ts',
  sgd_step: 'test/optim',
  clip_grad_norm: 'test/optim',
  running_statistics: 'test/ops/normalization.test.ts',
};

/** Runs a case forward, and backward to each input that has a gradient. */
function runCase(c: Case): void {
  fluxion.tidy(() => {
    const inputs = inputTensors(c, 'float64');
    for (const i of differentiableInputs(c)) inputs[i]!.requiresGrad = true;
    const result = c.run(...inputs);
    if (result.requiresGrad) result.backward(fluxion.onesLike(result));
  });
}

/** Ops that ran while fn did, with the keys of their parameters. */
function recorded(fn: () => void): Map<string, string> {
  const keys = new Map<string, string>();
  const spy = jest.spyOn(native, 'run');
  fn();
  for (const [op, params] of spy.mock.calls) {
    keys.set(
      native.ops[op]!.name,
      Object.keys(params ?? {})
        .sort()
        .join(' '),
    );
  }
  spy.mockRestore();
  return keys;
}

const ran = recorded(() => CASES.forEach(runCase));
const sorted = (names: Iterable<string>) => [...names].sort();

describe('ops', () => {
  test('TypeScript defines every op of the addon', () => {
    expect(sorted(definedOps)).toEqual(sorted(native.ops.map((op) => op.name)));
  });

  test('the cases run every op, forward or backward', () => {
    const missing = native.ops.map((op) => op.name).filter((name) => !ran.has(name));
    expect(sorted(missing)).toEqual(sorted(Object.keys(TESTED_ELSEWHERE)));
  });

  test('cases name ops of the addon', () => {
    const known = new Set(native.ops.map((op) => op.name));
    expect(CASES.flatMap((c) => c.ops).filter((op) => !known.has(op))).toEqual([]);
  });

  test('no two cases have one name', () => {
    const names = CASES.map((c) => c.name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  test('parameters have the names that the addon reads', () => {
    for (const [name, keys] of ran) {
      const { params } = native.ops.find((op) => op.name === name)!;
      expect([name, keys]).toEqual([name, params.split(' ').filter(Boolean).sort().join(' ')]);
    }
  });
});

test('error codes are those of the addon', () => {
  expect(sorted(ERROR_CODES)).toEqual(sorted(native.errorCodes));
});

describe('lib/ops', () => {
  const FOUNDATION = ['define', 'broadcast', 'promote', 'methods', 'index'];
  const folder = path.join(root, 'lib/ops');
  const families = readdirSync(folder).filter(
    (file) => !FOUNDATION.includes(path.parse(file).name),
  );

  /** Exported functions of a file, also those that are constants: name and whether a comment documents it. */
  function exportedFunctions(file: string): [string, boolean][] {
    const text = readFileSync(path.join(folder, file), 'utf8');
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
    const found = new Map<string, boolean>();
    for (const node of source.statements) {
      const exported =
        ts.canHaveModifiers(node) &&
        ts.getModifiers(node)?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword);
      if (!exported) continue;
      const documented = ts.getJSDocCommentsAndTags(node).length > 0;
      const names = ts.isFunctionDeclaration(node)
        ? [node.name!.text]
        : ts.isVariableStatement(node)
          ? node.declarationList.declarations.map((d) => (d.name as ts.Identifier).text)
          : [];
      for (const name of names) found.set(name, (found.get(name) ?? false) || documented);
    }
    return [...found];
  }

  test.each(families)('%s: every public function is documented', (file) => {
    const bare = exportedFunctions(file).filter(([, documented]) => !documented);
    expect(bare.map(([name]) => name)).toEqual([]);
  });

  test('the public surface has the functions of every family', () => {
    const exported = families.flatMap((file) => exportedFunctions(file).map(([name]) => name));
    const internal = exported.filter((name) => !(name in fluxion));
    // Shared between files of one family.
    expect(sorted(internal)).toEqual([
      'aboutRun',
      'composed',
      'convolve',
      'convolveTransposed',
      'countReduced',
      'diffusivityTable',
      'dimsOf',
      'epilogueOf',
      'floatingPair',
      'isEpilogueActivation',
      'kept',
      'keptShape',
      'meanOp',
      'moved',
      'needsGrad',
      'normFactor',
      'pairOf',
      'perChannel',
      'reduced',
      'reductionOf',
      'reluVjp',
      'requireActivation',
      'requireDiffusivity',
      'requireInexact',
      'requireParameter',
      'requireReduction',
      'runsOf',
      'shareOfTies',
      'sigmoidVjp',
      'sliceOp',
      'spreadOp',
      'tanhVjp',
      'throughActivation',
      'transformGrid',
      'updateStatistics',
      'variableDiffusion',
      'wantedBits',
      'withActivation',
    ]);
  });

  test('no method hides a property of Tensor', () => {
    const source = readFileSync(path.join(root, 'lib/tensor/tensor.ts'), 'utf8');
    const own = [...source.matchAll(/^ {2}(?:async |get )?(\w+)\(/gm)].map(([, name]) => name!);
    expect(own).toContain('dataSync');
    for (const name of own) {
      const exported = Object.hasOwn(fluxion, name) && (fluxion as Record<string, unknown>)[name];
      expect([name, typeof exported === 'function']).toEqual([name, false]);
    }
  });

  test('every function that begins with a tensor is a method', () => {
    const x = fluxion.tensor([[1, 2]]);
    expect(x.var({ dim: 1 }).item()).toBe(0.5);
    expect(x.mul(2).add(1).sum().item()).toBe(8);
    for (const name of ['cat', 'stack', 'rand', 'tensor', 'zeros']) {
      expect(name in fluxion.Tensor.prototype).toBe(false);
    }
    for (const name of [
      'matmul',
      'conv2d',
      'implicitDiffusion2d',
      'dropout',
      'to',
      'clone',
      'backward',
    ]) {
      expect(name in fluxion.Tensor.prototype).toBe(true);
    }
  });
});

test('layers, sizes and names hold', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'scripts/check-layers.mjs')],
    { encoding: 'utf8' },
  );
  expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
});
