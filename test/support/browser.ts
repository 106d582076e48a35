// A real browser without a window, if this machine has one: COUNTERSIGN_CHROMIUM, or Debian's chromium.

import { existsSync } from 'node:fs';

import { type Browser, chromium } from 'playwright-core';

const PLACES = [
  process.env['COUNTERSIGN_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

export const CHROMIUM = PLACES.find((place) => place !== '' && existsSync(place));

/** Said by tests that did not run. */
export const WITHOUT_BROWSER =
  'SKIPPED: no browser here. Install chromium, or name one with COUNTERSIGN_CHROMIUM.';

/** The caller MUST close it. */
export const startBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM ?? '',
    args: ['--no-sandbox', '--disable-background-networking', '--disable-dev-shm-usage'],
  });
