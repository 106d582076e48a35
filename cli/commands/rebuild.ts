// `rebuild`: what is derived from the record, compared with it and made again where it differs.

import { join } from 'node:path';

import type { Command } from 'commander';

import { readToken } from '#cli/client.ts';
import { placesIn, systemFolder } from '#cli/local/places.ts';
import { rebuildControl, type Rebuilt, rebuildSearch } from '#cli/local/rebuild.ts';
import { resealContents } from '#cli/local/reseal.ts';
import { readState } from '#cli/local/run-state.ts';
import type { DatabaseRole } from '#cli/local/secrets.ts';
import { CliError, EXIT, paint, print, printJson } from '#cli/output.ts';
import { addVerb } from '#cli/verb.ts';
import { readAtRest } from '#host/at-rest.ts';
import { connectBus } from '#host/nats.ts';

export function register(program: Command): void {
  addVerb(program, 'rebuild', {
    short: 'Compare what is derived with the record, and make it again.',
    summary:
      'Compare the search index and the state that workers watch with the record in Postgres, tell what differs, and ' +
      'make it again; seal contents anew that stand under an older key. Needs the running local system and disturbs ' +
      'nothing. Exit code 1 when something differed.',
    examples: [
      ['./countersign rebuild --check', 'only tell'],
      ['./countersign rebuild', 'and make it right; a second run finds nothing'],
    ],
  })
    .option('--check', 'change nothing')
    .action(rebuild);
}

async function rebuild(options: { readonly json?: true; readonly check?: true }): Promise<void> {
  const dir = systemFolder();
  const urls = readState(dir)?.urls;
  if (urls === undefined) {
    throw new CliError('The system is not running; this needs its database and its broker.', {
      help: 'npm run up',
    });
  }
  const { secrets } = placesIn(dir);
  const urlOf = (role: DatabaseRole) => readToken(join(secrets, 'database', `${role}.url`));
  const database = urlOf('countersign_chainer');
  const repair = options.check !== true;
  const bus = await connectBus({
    url: urls.nats,
    user: 'operator',
    passwordFile: join(secrets, 'nats', 'operator'),
    monitorUrl: urls.natsMonitor,
  });
  let results: readonly Rebuilt[];
  try {
    const atRest = readAtRest(join(secrets, 'at-rest-keys.json'));
    results = [
      await rebuildSearch(database, repair),
      await rebuildControl(bus, { url: database, atRest }, repair),
      await resealContents(urlOf, atRest, repair),
    ];
  } finally {
    await bus.close();
  }
  if (options.json === true)
    printJson({ repaired: repair, projections: results.map((one) => ({ ...one })) });
  else for (const one of results) tell(one, repair);
  if (results.some(differs)) process.exitCode = EXIT.finding;
}

const differs = ({ missing, different, extra }: Rebuilt): boolean =>
  missing + different + extra > 0;

function tell(result: Rebuilt, repaired: boolean): void {
  const { projection, looked, missing, different, extra, unreadable, first } = result;
  const name = projection.padEnd(8);
  if (!differs(result)) print(`${name}  as the record says (${looked} rows)`);
  else {
    print(
      paint(
        'yellow',
        `${name}  ${missing} missing, ${different} different, ${extra} extra, of ${looked} rows`,
      ),
    );
    for (const one of first) print(`          ${one}`);
    print(`          ${repaired ? 'made again from the record' : 'left as it is (--check)'}`);
  }
  if (unreadable > 0)
    print(
      `          ${unreadable} rows cannot be read any more (erased, or ./countersign audit verify names them)`,
    );
}
