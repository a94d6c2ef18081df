// Checks the site that `npm run docs` has made: every link inside it, the equations, and a page in Chromium.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const site = fileURLToPath(new URL('../../build/site/', import.meta.url));
const tutorial = path.join(site, 'documents/Ten_minutes_with_Fluxion.html');
const pages = new Map(
  readdirSync(site, { recursive: true })
    .filter((file) => file.endsWith('.html'))
    .map((file) => [path.join(site, file), readFileSync(path.join(site, file), 'utf8')]),
);

const attribute = (html, name) =>
  [...html.matchAll(new RegExp(`\\s${name}="([^"]*)"`, 'g'))].map((match) => match[1]);
const ids = new Map();
function hasId(page, id) {
  if (!ids.has(page)) ids.set(page, new Set(attribute(pages.get(page), 'id')));
  return ids.get(page).has(id);
}

/** Whether a link of a page leads to a file, and to a place in it where it names one. */
function leads(page, link) {
  const { pathname, hash } = new URL(link.replaceAll('&amp;', '&'), pathToFileURL(page));
  const target = fileURLToPath(`file://${pathname}`);
  if (!existsSync(target)) return false;
  return hash === '' || !pages.has(target) || hasId(target, decodeURIComponent(hash.slice(1)));
}

test('every link inside the site leads somewhere', () => {
  const dead = [];
  let count = 0;
  for (const [page, html] of pages) {
    for (const link of [...attribute(html, 'href'), ...attribute(html, 'src')]) {
      if (/^[a-z]+:/i.test(link)) continue; // other sites: not from a test
      count++;
      if (!leads(page, link)) dead.push(`${path.relative(site, page)}: ${link}`);
    }
  }
  console.log(`${pages.size} pages, ${count} links inside the site`);
  assert.ok(pages.size > 500 && count > 5000);
  assert.ok(!pages.has(tutorial.replace('.html', '-1.html')), 'a page stands twice');
  assert.deepEqual(dead, []);
  assert.equal(leads(tutorial, 'no-such-page.html'), false);
  assert.equal(leads(tutorial, '#no-such-place'), false);
});

test('every page has its equations, their style and fonts', () => {
  const all = [...pages.values()].join('');
  assert.ok(all.split('class="katex"').length > 300);
  assert.ok(!all.includes('katex-error'));
  assert.ok(existsSync(path.join(site, 'assets/fonts/KaTeX_Main-Regular.woff2')));
  assert.match(readFileSync(path.join(site, 'assets/custom.css'), 'utf8'), /KaTeX_Main/);
});

/** A Chromium of this machine: that of CHROMIUM, or one of the usual names on PATH. */
function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
  const candidates = process.env.CHROMIUM ? [process.env.CHROMIUM] : names;
  return candidates.find((name) => spawnSync(name, ['--version']).status === 0);
}

test('Chromium shows the tutorial with a rendered equation', (t) => {
  const chromium = findChromium();
  if (chromium === undefined) {
    const reason = 'no Chromium on PATH; name one in the environment as CHROMIUM';
    console.log(`skipped: ${reason}`);
    t.skip(reason);
    return;
  }
  // --no-sandbox: containers have no user namespaces, and the page is our own.
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=10000'];
  const dom = execFileSync(chromium, [...flags, '--dump-dom', pathToFileURL(tutorial).href], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 120_000,
    maxBuffer: 1 << 26,
  });
  assert.match(dom, /<title>Ten minutes with Fluxion/);
  assert.match(dom, /class="katex-display"/);
  assert.match(dom, /<annotation encoding="application\/x-tex"> ?v = \(I - dt/);
  // Scripts ran: the navigation is not in the file, TypeDoc's script makes it.
  assert.ok(dom.split('href=').length > readFileSync(tutorial, 'utf8').split('href=').length + 20);
});
