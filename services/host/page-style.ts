/** The one style sheet of every page. */
import { readFileSync } from 'node:fs';

export const PAGE_STYLE = readFileSync(new URL('page.css', import.meta.url), 'utf8');
