// `backup` and `restore`: the local system as one directory with checksums, and a system made of it again.

import { resolve } from 'node:path';

import type { Command } from 'commander';

import { checkBackup, makeBackup, type Manifest, restoreBackup } from '#cli/local/backup.ts';
import { systemFolder } from '#cli/local/places.ts';
import { EXIT, paint, print, printJson } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';

interface Options {
  readonly json?: true;
  readonly withSecrets?: true;
  readonly check?: true;
}

/** Files of a broken backup that are named. */
const NAMED = 5;

export function register(program: Command): void {
  addVerb(program, 'backup <folder>', {
    short: 'Copy the stopped system, with checksums.',
    summary:
      'Copy the stopped system (Postgres and streams, of one moment) into a new folder, with checksums. ' +
      'Without secrets unless asked, and never the memory of the witness.',
    examples: [
      [
        './countersign backup /backups/monday',
        'without secrets: keep .countersign/secrets elsewhere',
      ],
      [
        './countersign backup /backups/monday --with-secrets',
        'with them: whoever has it can sign as this system',
      ],
    ],
  })
    .option('--with-secrets', 'all keys and passwords too')
    .action(backup);
  addVerb(program, 'restore <folder>', {
    short: 'Make a system of a backup.',
    summary:
      'Check a backup and make a system of it where there is none. What was recorded after it is gone: ' +
      'a witness says so as soon as the system runs. Exit code 1 when a file is not what it was.',
    examples: [
      [
        './countersign restore /backups/monday',
        'into .countersign, with the secrets that are there or in it',
      ],
      ['./countersign restore /backups/monday --check', 'only look whether it is whole'],
    ],
  })
    .option('--check', 'restore nothing')
    .action(restore);
}

async function backup(folder: string, options: Options): Promise<void> {
  const into = resolve(folder);
  const secrets = options.withSecrets === true;
  const manifest = await makeBackup(systemFolder(), { into, secrets });
  if (options.json === true) {
    printJson({ folder: into, ...manifest });
    return;
  }
  print(`backup in ${into}`);
  print(`  ${sizeText(manifest)}`);
  print(
    secrets
      ? paint('yellow', '  with all secrets: whoever reads it can sign as this system')
      : '  without secrets: it can be restored only together with .countersign/secrets of this system',
  );
  print('  the memory of the witness is not in it, and must never be set back');
}

async function restore(folder: string, options: Options): Promise<void> {
  const from = resolve(folder);
  const { manifest, wrong } = await checkBackup(from);
  if (wrong.length > 0) {
    process.exitCode = EXIT.finding;
    if (options.json === true) printJson({ folder: from, whole: false, wrong });
    else {
      print(
        paint(
          'red',
          `not whole: ${wrong.length} of ${manifest.files} files are missing or not what they were`,
        ),
      );
      for (const name of wrong.slice(0, NAMED)) print(`  ${name}`);
      print('  nothing was restored');
    }
    return;
  }
  if (options.check !== true) await restoreBackup(from, systemFolder());
  const restored = options.check !== true;
  if (options.json === true) printJson({ folder: from, whole: true, restored, ...manifest });
  else if (restored) {
    print(`restored what was there at ${manifest.made_at}`);
    print(`  ${sizeText(manifest)}`);
    print(
      '  next: npm run up, then ./countersign status: a witness tells when this is older than what it has seen',
    );
  } else print(`whole: ${sizeText(manifest)}, made at ${manifest.made_at}`);
}

const sizeText = ({ files, bytes }: Manifest): string =>
  `${files} files, ${(bytes / 1_000_000).toFixed(1)} MB`;
