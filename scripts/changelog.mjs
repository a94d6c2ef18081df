// The form of CHANGELOG.md, and its part in a release. Releasing is `npm version patch|minor|major`, which runs the
// checks, moves what is unreleased under the new version, gives the CUDA package the same version, commits and tags;
// pushing the tag publishes (.github/workflows/release.yml).
//
//   node scripts/changelog.mjs check
//   node scripts/changelog.mjs release       by npm, between the new version and its commit

import { readFileSync, writeFileSync } from 'node:fs';

const CHANGELOG = new URL('../CHANGELOG.md', import.meta.url);
const UNRELEASED = '## [Unreleased]';
const SECTIONS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];

const readJson = (file) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'));
const compareVersions = (a, b) => a.localeCompare(b, 'en', { numeric: true });

/** What is wrong with the text of a changelog, one line each. */
function complaints(text, version) {
  const wrong = [];
  const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
  if (headings[0] !== '[Unreleased]') wrong.push(`the first heading must be '${UNRELEASED}'`);
  const released = [];
  for (const heading of headings.slice(1)) {
    const found = /^\[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$/.exec(heading)?.[1];
    if (found) released.push(found);
    else wrong.push(`'${heading}' must read '[1.2.3] - 2030-01-31'`);
  }
  released.forEach((later, i) => {
    if (compareVersions(later, released[i + 1] ?? '0') <= 0) wrong.push(`${later} is out of order`);
  });
  if (compareVersions(released[0] ?? '0', version) > 0) {
    wrong.push(`${released[0]} is newer than package.json's ${version}`);
  }
  for (const [, section] of text.matchAll(/^### (.*)$/gm)) {
    if (!SECTIONS.includes(section)) wrong.push(`'${section}' is none of ${SECTIONS.join(', ')}`);
  }
  return wrong;
}

/** The text with what is unreleased under a version. */
function release(text, version, date) {
  const [head, rest] = text.split(`${UNRELEASED}\n`);
  const notes = rest.split(/^## /m, 1)[0];
  if (!/^- /m.test(notes)) throw new Error('CHANGELOG.md: nothing is unreleased');
  return `${head}${UNRELEASED}\n\n## [${version}] - ${date}\n${rest}`;
}

const { version } = readJson('package.json');
const text = readFileSync(CHANGELOG, 'utf8');
const wrong = complaints(text, version);
if (wrong.length > 0) throw new Error(`CHANGELOG.md:\n  ${wrong.join('\n  ')}`);

if (process.argv[2] === 'release') {
  writeFileSync(CHANGELOG, release(text, version, new Date().toISOString().slice(0, 10)));
  const cuda = readJson('cuda/package.json');
  Object.assign(cuda, { version, peerDependencies: { fluxion: version } });
  writeFileSync(
    new URL('../cuda/package.json', import.meta.url),
    `${JSON.stringify(cuda, null, 2)}\n`,
  );
  const own = readJson('package.json');
  for (const name of Object.keys(own.peerDependencies)) {
    if (name.startsWith('fluxion-')) own.peerDependencies[name] = version;
  }
  writeFileSync(new URL('../package.json', import.meta.url), `${JSON.stringify(own, null, 2)}\n`);
} else {
  console.log('CHANGELOG.md: ok');
}
