// The list of dense operators that Fluxion promises (docs/api-list.json): each is exported and documented, and has
// case rows and records of PyTorch's results. Where the design is at hand the list is compared with it.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import * as fluxion from '../../lib';
import { publicName } from '../../lib/ops/define';
import { CASES } from '../cases';
import { PENDING, WITHOUT_CASES } from './differences';
import { readGolden } from './golden-file';

const root = path.join(__dirname, '../..');
const listFile = path.join(root, 'docs/api-list.json');
const design = path.join(root, '../shared/design/api.md');

const { dense } = JSON.parse(readFileSync(listFile, 'utf8')) as { dense: string[] };
const built = dense.filter((name) => !PENDING.includes(name));

/** A reserved word cannot name a function in its own file. */
const named = (name: string) => (name === 'var' ? 'variance' : name);

/** Words of the list that are no names of functions. */
const WORDS = ['depthwise', 'and', 'grouped', 'in', 'float64'];
const COMPARISONS = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'];

/** The names in the sentence 'The list: ...' of the section 'Dense operators'. */
function namesOfDesign(text: string): string[] {
  const [, list] = /## Dense operators[^]*?The list: (.*)\.$/m.exec(text)!;
  return list!
    .split(/[\s;,]+/)
    .filter((word) => !WORDS.includes(word))
    .flatMap((word) => (word === 'comparisons' ? COMPARISONS : [word]));
}

if (!existsSync(design)) console.log(`the list is not compared with the design: no ${design}`);

(existsSync(design) ? test : test.skip)('the list is that of the design', () => {
  expect(dense).toEqual(namesOfDesign(readFileSync(design, 'utf8')));
});

test('no name is pending that is built', () => {
  const exported = fluxion as Record<string, unknown>;
  expect(dense.filter((name) => PENDING.includes(name) && name in exported)).toEqual([]);
});

test('every name is a function of the package', () => {
  const exported = fluxion as Record<string, unknown>;
  expect(built.filter((name) => typeof exported[name] !== 'function')).toEqual([]);
});

test('every name is a method of tensors, unless it does not begin with a tensor', () => {
  const free = ['cat', 'stack', 'einsum'];
  expect(built.filter((name) => name in fluxion.Tensor.prototype === free.includes(name))).toEqual(
    [],
  );
});

test('every name is documented', () => {
  const documented = new Set<string>();
  const folder = path.join(root, 'lib/ops');
  for (const file of readdirSync(folder)) {
    const text = readFileSync(path.join(folder, file), 'utf8');
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
    for (const node of source.statements) {
      if (ts.getJSDocCommentsAndTags(node).length === 0) continue;
      if (ts.isFunctionDeclaration(node)) documented.add(node.name!.text);
      if (ts.isVariableStatement(node)) {
        for (const { name } of node.declarationList.declarations) {
          documented.add((name as ts.Identifier).text);
        }
      }
    }
  }
  expect(built.filter((name) => !documented.has(named(name)))).toEqual([]);
});

test('every name has case rows', () => {
  const words = new Set(
    CASES.flatMap(({ name, ops }) => [...ops.map(publicName), ...(name.match(/\w+/g) ?? [])]),
  );
  const without = built.filter((name) => !words.has(named(name)));
  expect(without).toEqual(WITHOUT_CASES);
});

test("every name has records of PyTorch's results", () => {
  const ops = new Set(readGolden().records.map(({ op }) => op));
  expect(dense.filter((name) => !ops.has(name))).toEqual([]);
});
