// `witness`: make and run a witness on a machine of its own. The system at hand runs one of its own by `up`.

import { type Command, InvalidArgumentError } from 'commander';

import { CliError, print, printJson } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';

import { makeWitness, witnessFiles } from '../../services/witness/make.ts';

const PORT_DEFAULT = 8600;
const PORT_MAX = 65_535;

export function register(program: Command): void {
  const witness = addGroup(program, 'witness', {
    short: 'Make and run a witness, on a machine of somebody else.',
    summary: 'Make and run a witness, on a machine that the owners of the log cannot reach.',
    examples: [
      ['./countersign witness init --name witness.example/acme --dir /var/lib/witness', 'once'],
      [
        './countersign witness run --dir /var/lib/witness --logs logs.policy',
        'until it is stopped',
      ],
    ],
  });
  addVerb(witness, 'init', {
    summary: 'Make the key and the store of a new witness; prints its line for policy files.',
    examples: [
      [
        './countersign witness init --name witness.example/acme --dir /var/lib/witness',
        'a name is a URL without scheme by convention',
      ],
    ],
  })
    .requiredOption('--name <name>', 'the name that its cosignatures bear')
    .requiredOption('--dir <folder>', 'where key and store go')
    .action(init);
  addVerb(witness, 'run', {
    summary: 'Run it in the foreground until it is stopped. Logs are JSON on standard output.',
    examples: [
      [
        './countersign witness run --dir /var/lib/witness --logs logs.policy --host 0.0.0.0',
        'behind a TLS proxy',
      ],
    ],
  })
    .requiredOption('--dir <folder>', 'what `witness init` made')
    .requiredOption('--logs <file>', 'the logs to witness: `log` lines of a policy file')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', 'port to listen on', portGiven, PORT_DEFAULT)
    .option('--health-port <port>', 'port of /readyz and /metrics on loopback', portGiven, 0)
    .action(runWitness);
}

interface InitOptions {
  readonly name: string;
  readonly dir: string;
  readonly json?: true;
}

function init({ name, dir, json }: InitOptions): void {
  let vkey = '';
  try {
    vkey = makeWitness(dir, name);
  } catch (cause) {
    throw new CliError(`${(cause as Error).message}.`, {
      cause,
      help: 'a witness is made once; whoever lost its store makes a new one in another folder',
    });
  }
  const files = witnessFiles(dir);
  if (json === true) {
    printJson({ vkey, ...files });
    return;
  }
  print(`witness ${name.replaceAll(/[^A-Za-z0-9-]/g, '-')} ${vkey}`);
  print(`  this line, with the address of the witness behind it, goes into the policy file`);
  print(`  key    ${files.key}   (keep it to yourself; never copy it to a second machine)`);
  print(`  store  ${files.store}   (never restore it from a backup: make a new witness instead)`);
}

interface RunOptions {
  readonly dir: string;
  readonly logs: string;
  readonly host: string;
  readonly port: number;
  readonly healthPort: number;
}

async function runWitness({ dir, logs, host, port, healthPort }: RunOptions): Promise<void> {
  const files = witnessFiles(dir);
  const level = process.env['COUNTERSIGN_LOG_LEVEL'];
  // Loaded here: no other verb needs a server.
  const [{ run }, { start }] = await Promise.all([
    import('#host/run.ts'),
    import('../../services/witness/main.ts'),
  ]);
  await run(() =>
    start({
      COUNTERSIGN_HEALTH_PORT: healthPort,
      COUNTERSIGN_LOG_LEVEL: level === undefined || level === '' ? 'info' : level,
      COUNTERSIGN_WITNESS_HOST: host,
      COUNTERSIGN_WITNESS_PORT: port,
      COUNTERSIGN_WITNESS_KEY_FILE: files.key,
      COUNTERSIGN_WITNESS_STORE: files.store,
      COUNTERSIGN_WITNESS_LOGS_FILE: logs,
    }),
  );
}

function portGiven(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= PORT_MAX) return port;
  throw new InvalidArgumentError(`A port is a number up to ${PORT_MAX}.`);
}
