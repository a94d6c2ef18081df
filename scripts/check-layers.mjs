// Checks what docs/architecture.md promises: which layer may use which, no import cycles, the
// order of the op families, file sizes and file names. This table is the whole policy.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const ALL = Symbol('every layer');

/** Layer -> the other layers it may use. A layer is the first path segment below lib/. */
const TS_LAYERS = {
  errors: [],
  manifest: [],
  'addon-file': ['manifest', 'errors'],
  'cuda-plugin': ['manifest'],
  native: ['addon-file', 'errors'],
  tensor: ['native', 'cuda-plugin', 'manifest', 'errors'],
  autograd: ['tensor', 'errors'],
  ops: ['autograd', 'tensor', 'errors'],
  nn: ['ops', 'autograd', 'tensor', 'errors'],
  optim: ['ops', 'autograd', 'tensor', 'errors'],
  data: ['ops', 'autograd', 'tensor', 'errors'],
  train: ['nn', 'optim', 'data', 'ops', 'autograd', 'tensor', 'errors'],
  models: ['nn', 'ops', 'autograd', 'tensor', 'errors'],
  index: ALL,
  cli: ALL,
};

/** lib/ops: a family may use the families before it. `foundation` serves all, `summary` uses all. */
const OPS = {
  foundation: ['define', 'broadcast', 'promote'],
  families: [
    ...['elementwise', 'reduce', 'complex', 'shape', 'creation', 'random', 'linalg'],
    ...['diffusion', 'spectral', 'advection', 'graph', 'scan'],
  ],
  summary: ['methods', 'index'],
};

/** The same for C++ and CUDA; the longest matching folder is a file's layer. */
const CPP_LAYERS = {
  'native/core': [],
  'native/ops': ['native/core'],
  'native/backend': ['native/core', 'native/ops'],
  'native/cpu': ['native/core', 'native/ops', 'native/backend'],
  'native/bindings': ['native/core', 'native/ops', 'native/backend', 'native/cpu'],
  cuda: ['native/core', 'native/ops', 'native/backend', 'cuda/device'],
  'cuda/device': [],
};

/** External headers that belong to some layers only. */
const CPP_EXTERNAL = [
  { header: /^(js_)?(node_api|native_api)|^napi|^uv\.h$|^v8/, layers: ['native/bindings'] },
  {
    header: /^cu(da|b|blas|dnn|fft|rand|sparse)|^cooperative_groups|^mma\.h$/,
    layers: ['cuda', 'cuda/device'],
  },
];

const SIZE_FOLDERS = ['lib', 'native', 'cuda', 'test', 'bench', 'scripts', 'examples'];
const SIZE_WARNING = 400;
const SIZE_LIMIT = 600;
const FORBIDDEN_NAMES = new Set(['utils', 'common', 'misc', 'helpers', 'types', 'manager']);

const TS_FILE = /\.ts$/;
const CPP_FILE = /\.(h|inl|def|cpp|cu|cuh)$/;
const CODE_FILE = /\.([cm]?[jt]s|py|h|inl|def|cpp|cu|cuh)$/;

const errors = [];
const warnings = [];

/** Paths of the files below `folder` that match `pattern`, relative to the root. */
function filesIn(folder, pattern) {
  if (!existsSync(path.join(root, folder))) return [];
  return readdirSync(path.join(root, folder), { recursive: true })
    .map((file) => path.posix.join(folder, file))
    .filter((file) => pattern.test(file) && !file.includes('node_modules/'))
    .sort();
}

const read = (file) => readFileSync(path.join(root, file), 'utf8');
const isFile = (file) => path.extname(file) !== '' && existsSync(path.join(root, file));

// --- TypeScript ----------------------------------------------------------------------------------

/** The modules that a file names: specifier, and whether the import survives compilation. */
function tsImports(file) {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true);
  const found = [];
  const add = (node, value) => {
    if (node && ts.isStringLiteral(node)) found.push({ specifier: node.text, value });
  };
  const onlyTypes = (bindings) =>
    bindings !== undefined &&
    'elements' in bindings &&
    bindings.elements.length > 0 &&
    bindings.elements.every((element) => element.isTypeOnly);
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause;
      const erased = clause?.isTypeOnly || (!clause?.name && onlyTypes(clause?.namedBindings));
      add(node.moduleSpecifier, !erased);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, !node.isTypeOnly && !onlyTypes(node.exportClause));
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, false);
    } else if (
      ts.isCallExpression(node) &&
      (node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.text === 'require')
    ) {
      add(node.arguments[0], true);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function resolveTs(from, specifier) {
  if (!specifier.startsWith('.')) return undefined;
  const base = path.posix.join(path.posix.dirname(from), specifier).replace(/\.js$/, '');
  return [base, `${base}.ts`, `${base}/index.ts`].find(isFile) ?? null;
}

const tsLayer = (file) => file.split('/')[1].replace(TS_FILE, '');

/** Place of a file in the order of lib/ops: it may import smaller places, and its own. */
function opsPlace(file) {
  const name = file.split('/')[2].replace(TS_FILE, '');
  if (OPS.foundation.includes(name)) return -1;
  if (OPS.summary.includes(name)) return OPS.families.length;
  const place = OPS.families.findIndex((family) => `${name}-`.startsWith(`${family}-`));
  return place < 0 ? undefined : place;
}

function checkTsImport(file, target) {
  const layer = tsLayer(file);
  const used = tsLayer(target);
  if (!target.startsWith('lib/')) {
    errors.push(`${file}: imports ${target}, which is outside lib/`);
  } else if (used !== layer && TS_LAYERS[layer] !== ALL && !TS_LAYERS[layer].includes(used)) {
    errors.push(`${file}: layer '${layer}' may not import '${used}' (${target})`);
  } else if (layer === 'ops' && used === 'ops' && opsPlace(target) > opsPlace(file)) {
    errors.push(`${file}: may not import ${target}, which comes later in the order of families`);
  }
}

/** lib/index.ts defines nothing: what the package offers can be read off its exports. */
function checkIndexOnlyReexports() {
  if (!isFile('lib/index.ts')) return;
  const source = ts.createSourceFile('', read('lib/index.ts'), ts.ScriptTarget.Latest);
  const allowed = (node) =>
    (ts.isExportDeclaration(node) && node.moduleSpecifier) ||
    (ts.isImportDeclaration(node) && !node.importClause);
  if (!source.statements.every(allowed)) {
    errors.push("lib/index.ts: only `export … from '…'` and `import '…'` belong here");
  }
}

function checkTypeScript() {
  const graph = new Map();
  for (const file of filesIn('lib', TS_FILE)) {
    const edges = [];
    graph.set(file, edges);
    if (!Object.hasOwn(TS_LAYERS, tsLayer(file))) {
      errors.push(`${file}: '${tsLayer(file)}' is not a layer`);
      continue;
    }
    if (file.startsWith('lib/ops/') && opsPlace(file) === undefined) {
      errors.push(`${file}: belongs to no op family`);
    }
    for (const { specifier, value } of tsImports(file)) {
      const target = resolveTs(file, specifier);
      if (target === null) errors.push(`${file}: cannot find ${specifier}`);
      if (!target) continue;
      // Only the manifest lies outside lib/ in both the sources and the build.
      if (target === 'package.json') continue;
      checkTsImport(file, target);
      if (value) edges.push(target);
    }
  }
  checkIndexOnlyReexports();
  checkCycles(graph);
}

// --- C++ and CUDA --------------------------------------------------------------------------------

function cppLayer(file) {
  return Object.keys(CPP_LAYERS)
    .filter((layer) => file.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function resolveCpp(from, include) {
  return [path.posix.dirname(from), 'native', 'cuda', '.']
    .map((folder) => path.posix.join(folder, include))
    .find(isFile);
}

function checkExternalHeader(file, layer, header) {
  for (const rule of CPP_EXTERNAL) {
    if (rule.header.test(header) && !rule.layers.includes(layer)) {
      errors.push(`${file}: layer '${layer}' may not include <${header}>`);
    }
  }
}

function checkCppFile(file, edges) {
  const layer = cppLayer(file);
  if (!layer) {
    errors.push(`${file}: is in no layer`);
    return;
  }
  for (const [, quote, include] of read(file).matchAll(/^\s*#\s*include\s*(["<])([^">]+)[">]/gm)) {
    const target = quote === '"' ? resolveCpp(file, include) : undefined;
    if (!target) {
      checkExternalHeader(file, layer, include);
      continue;
    }
    const used = cppLayer(target);
    if (used !== layer && !CPP_LAYERS[layer].includes(used)) {
      errors.push(`${file}: layer '${layer}' may not include '${used}' (${target})`);
    }
    // A kernel body includes itself once per instruction set.
    if (target !== file) edges.push(target);
  }
}

function checkCpp() {
  const graph = new Map();
  for (const file of [...filesIn('native', CPP_FILE), ...filesIn('cuda', CPP_FILE)]) {
    graph.set(file, []);
    checkCppFile(file, graph.get(file));
  }
  checkCycles(graph);
}

// --- Both ----------------------------------------------------------------------------------------

/** Reports every cycle that a depth-first walk closes. */
function checkCycles(graph) {
  const done = new Set();
  const trail = [];
  const walk = (file) => {
    const start = trail.indexOf(file);
    if (start >= 0) errors.push(`import cycle: ${[...trail.slice(start), file].join(' -> ')}`);
    if (start >= 0 || done.has(file)) return;
    trail.push(file);
    (graph.get(file) ?? []).forEach(walk);
    trail.pop();
    done.add(file);
  };
  [...graph.keys()].forEach(walk);
}

function checkSizesAndNames() {
  for (const file of SIZE_FOLDERS.flatMap((folder) => filesIn(folder, CODE_FILE))) {
    const lines = read(file).split('\n').length - 1;
    if (lines > SIZE_LIMIT) errors.push(`${file}: ${lines} lines, the limit is ${SIZE_LIMIT}`);
    else if (lines > SIZE_WARNING) warnings.push(`${file}: ${lines} lines, aim at ${SIZE_WARNING}`);
    for (const part of file.split('/')) {
      const name = part.split('.')[0];
      if (FORBIDDEN_NAMES.has(name))
        errors.push(`${file}: '${name}' says nothing; name what it knows`);
    }
  }
}

checkTypeScript();
checkCpp();
checkSizesAndNames();

for (const message of warnings) console.warn(`warning: ${message}`);
for (const message of errors) console.error(`error: ${message}`);
console.log(`Layers: ${errors.length} errors, ${warnings.length} warnings`);
process.exit(errors.length > 0 ? 1 : 0);
