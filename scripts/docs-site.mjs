// What TypeDoc does not do by itself: titles and groups of the pages, equations and their fonts.
// typedoc.config.mjs loads it as a plugin.

import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { katex } from '@mdit/plugin-katex';
import { Converter, RendererEvent } from 'typedoc';

const katexFolder = path.join(path.dirname(createRequire(import.meta.url).resolve('katex')));

/** The style of the equations; it looks for its fonts beside itself. */
export const equationStyle = path.join(katexFolder, 'katex.min.css');

/** Renders equations between dollars when the site is made. An equation that KaTeX refuses ends the run. */
export function renderEquations(markdown) {
  markdown.use(katex, { throwOnError: true, strict: true, logger: () => 'error' });
}

/** Groups of pages by folder; the others are guides. */
const GROUPS = { numerics: 'Numerics', systems: 'Systems', decisions: 'Decisions' };

/** A page is called what its first heading says and stands beside those of its folder. */
function describePage(page) {
  const text = page.content.map((part) => part.text).join('');
  page.name = /^# (.*)$/m.exec(text)?.[1] ?? page.name;
  const folder = path.basename(path.dirname(page.project.files.getReflectionPath(page)));
  page.frontmatter.group = GROUPS[folder] ?? 'Guides';
}

export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, page) => describePage(page));
  app.renderer.on(RendererEvent.END, ({ outputDirectory }) => {
    const fonts = path.join(outputDirectory, 'assets/fonts');
    cpSync(path.join(katexFolder, 'fonts'), fonts, { recursive: true });
  });
}
