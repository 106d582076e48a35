// The verifier that stands alone: bundled into one file by `npm run verifier`, it runs with plain Node and needs nothing of
// ours. An auditor can read it, keep it, and run it years later.

import { parseArgs } from 'node:util';

import { CliError, EXIT } from '#cli/output.ts';
import { verifyFolder } from '#cli/verify-folder.ts';

const USAGE = `Usage: node countersign-verify.mjs --export FOLDER --policy FILE [--against FILE] [--json]

Verifies an export of Countersign offline: no network, no database, no secret.
  --export   the folder that \`countersign audit export\` wrote
  --policy   whom to believe: keys of the log and of witnesses, and how many (C2SP tlog-policy)
  --against  a checkpoint that you kept, or the manifest.json of an export that you verified

Exit code 0 intact, 1 tampered with, 2 wrong use, 3 could not run, 4 incomplete.`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      export: { type: 'string' },
      policy: { type: 'string' },
      against: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { export: folder, policy, against, json } = values;
  if (values.help) return console.log(USAGE);
  if (folder === undefined) throw new CliError(USAGE, { exitCode: EXIT.misuse });
  await verifyFolder({
    export: folder,
    ...(policy === undefined ? {} : { policy }),
    ...(against === undefined ? {} : { against }),
    ...(json ? { json } : {}),
  });
}

// Whoever reads only the first lines has read enough.
process.stdout.on('error', () => process.exit(process.exitCode ?? EXIT.ok));
try {
  await main();
} catch (error) {
  const known = error instanceof CliError;
  const misuse = (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  console.error(known || misuse ? (error as Error).message : error);
  if (known && error.help !== undefined) console.error(`  ${error.help}`);
  process.exitCode = known ? error.exitCode : misuse ? EXIT.misuse : EXIT.failed;
}
