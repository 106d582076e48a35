// Makes the folders of a local system, or says why this user cannot have them.

import { mkdirSync, statSync } from 'node:fs';

import { CliError } from '#cli/output.ts';

import { placesIn } from './places.ts';

/**
 * Makes what is not there. Throws CliError where the folder belongs to a system of another user (after one `sudo npm run up`,
 * say): starting there would leave files that its owner cannot read; and where nothing can be written.
 */
export function makeSystemFolder(dir: string): void {
  const { secrets, data, log, run } = placesIn(dir);
  const owner = statSync(secrets, { throwIfNoEntry: false })?.uid;
  const us = process.getuid?.();
  if (owner !== undefined && owner !== us) {
    throw new CliError(`The system in ${dir} belongs to user ${owner}; this is user ${us}.`, {
      help: `run this as that user (sudo -u '#${owner}' ...), or give it to this one: npm run down there, then sudo chown -R ${us} '${dir}'`,
    });
  }
  try {
    for (const folder of [data, log, run]) mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new CliError(`The system's folder cannot be made: ${(cause as Error).message}`, {
      cause,
      help: 'export COUNTERSIGN_DIR=FOLDER   (one that you may write to), then run this again',
    });
  }
}
