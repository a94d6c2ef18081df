import { equationStyle, renderEquations } from './scripts/docs-site.mjs';

/** Types of signatures that the text explains; users never name them. */
const INTERNAL_TYPES = [
  ...['Scoped', 'ERROR_CODES', 'FUSED', 'MODES', 'PAD_MODES', 'Scaled', 'Binary', 'OnArrays'],
  ...['Splitting', 'Sizes', 'ConvOptions', 'Along1', 'Along2', 'Along3', 'Native', 'Elements'],
  ...['AttributeValue', 'FileType', 'WidenLayer', 'ResidualBlock', 'UNetBlock', 'OfficialLayer'],
  ...['ConvNormActConv', 'ConvSettings', 'Settings', 'Group', 'CommonOptions', 'TensorFunction'],
  ...['Arguments', 'Pending', 'Schedule', 'MomentumSchedule'],
];

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'Fluxion',
  entryPoints: ['lib/index.ts'],
  tsconfig: 'tsconfig.json',
  readme: 'README.md',
  projectDocuments: [
    ...['docs/tutorial.md', 'docs/from-pytorch.md', 'docs/choosing-an-operator.md'],
    'docs/!(tutorial|from-pytorch|choosing-an-operator).md',
    ...['docs/numerics/*.md', 'docs/systems/*.md', 'docs/decisions/*.md'],
  ],
  out: 'build/site',
  plugin: ['./scripts/docs-site.mjs'],
  markdownItLoader: renderEquations,
  customCss: equationStyle,
  highlightLanguages: ['bash', 'cpp', 'diff', 'javascript', 'json', 'typescript', 'python'],
  groupOrder: ['Guides', 'Numerics', 'Systems', 'Decisions', 'Namespaces', 'Functions', '*'],
  navigation: { includeGroups: true },
  excludePrivate: true,
  excludeInternal: true,
  disableSources: true,
  disableGit: true,
  intentionallyNotExported: INTERNAL_TYPES,
  treatWarningsAsErrors: true,
};
