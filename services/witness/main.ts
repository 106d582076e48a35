/** Wires the witness: a checkpoint comes in by HTTP, is judged against the store, and a cosignature goes out. */
import { showVerifierKey, signatureLine, type SignerKey, verifierKeyOf } from '#contracts/note.ts';
import { ConfigError, readConfig } from '#host/config.ts';
import { serveHealth } from '#host/health.ts';
import { createLog, type Logger } from '#host/log.ts';
import { counter, gauges } from '#host/metrics.ts';
import { listenForPosts, type PostAnswer, type Posted } from '#host/posted.ts';
import { closers, run, type Running } from '#host/run.ts';

import { WitnessConfig } from './config.ts';
import { addCheckpoint, type Judged, type Refused } from './cosign.ts';
import { knownLogs } from './logs.ts';
import { readWitnessKey } from './make.ts';
import { openStore, StoreError, type WitnessStore } from './store.ts';

/** The statuses of https://c2sp.org/tlog-witness. */
const STATUS: Readonly<Record<Refused, number>> = {
  malformed: 400,
  unknown_log: 404,
  not_signed: 403,
  old_size_too_large: 400,
  old_size_other: 409,
  fork: 409,
  inconsistent: 422,
};

const PATH = '/add-checkpoint';
const LIMITS = {
  /** 63 lines of a proof, and a checkpoint with 16 signatures of the largest kind (signed-note: nearly 5 KB each). */
  bodyBytes: 128 * 1024,
  requestMs: 10_000,
  idleMs: 120_000,
};

const answered = counter<{ result: string }>(
  'countersign_witness_checkpoints',
  'Checkpoints that were submitted, by result: cosigned, or why not.',
);

export interface RunningWitness extends Running {
  /** Where it listens. */
  readonly port: number;
}

export async function start(config: WitnessConfig): Promise<RunningWitness> {
  const log = createLog('witness', config.COUNTERSIGN_LOG_LEVEL);
  const key = readWitnessKey(config.COUNTERSIGN_WITNESS_KEY_FILE);
  const logs = knownLogs(config.COUNTERSIGN_WITNESS_LOGS_FILE);
  const { add, closeAll } = closers(log);
  const vkey = showVerifierKey(verifierKeyOf(key));
  const store = openOwnStore(config.COUNTERSIGN_WITNESS_STORE, vkey);
  add('store', store.close);
  let storeFault = '';

  const answer = ({ path, body }: Posted): PostAnswer => {
    if (path.replace(/\?.*/, '') !== PATH) return { status: 404, body: 'not found\n' };
    try {
      const judged = addCheckpoint(body, logs.keysOf, store);
      storeFault = '';
      return answerOf(judged, key, log);
    } catch (error) {
      storeFault = 'the store cannot be written';
      answered.add(1, { result: 'store_failed' });
      log.error({ err: error }, 'not cosigned: the store failed');
      return { status: 500, body: 'the witness cannot keep it\n' };
    }
  };
  const { COUNTERSIGN_WITNESS_HOST: host, COUNTERSIGN_WITNESS_PORT: port } = config;
  const listening = await listenForPosts({ host, port, ...LIMITS }, answer);
  add('http', listening.close);

  gauges('countersign_witness_tree_size', 'Size of the tree cosigned last, by log.', () =>
    [...store.all()].map(([origin, { size }]) => [size, { origin }] as const),
  );
  const health = await serveHealth(
    config.COUNTERSIGN_HEALTH_PORT,
    { logs: logs.fault, store: () => storeFault },
    () => ({ vkey, logs: logs.origins(), sizes: sizesOf(store) }),
  );
  add('health', health.close);
  log.info({ vkey, port: listening.port, logs: logs.origins() }, 'witnessing');
  return { stop: closeAll, port: listening.port };
}

/** Signs what was kept, or says why not. */
function answerOf(judged: Judged, key: SignerKey, log: Logger): PostAnswer {
  if ('cosign' in judged) {
    answered.add(1, { result: 'cosigned' });
    const seconds = Math.floor(Date.now() / 1_000);
    return { status: 200, body: signatureLine(judged.cosign, key, seconds) };
  }
  const { refused, latest, origin } = judged;
  answered.add(1, { result: refused });
  // The log's own signature stands under it: proof that it shows two pasts.
  if (refused === 'fork' || refused === 'inconsistent')
    log.error({ origin, refused, latest }, 'a signed checkpoint does not continue the last one');
  return refused === 'old_size_other'
    ? { status: STATUS[refused], type: 'text/x.tlog.size', body: `${latest}\n` }
    : { status: STATUS[refused], body: `${refused}\n` };
}

const sizesOf = (store: WitnessStore) =>
  Object.fromEntries([...store.all()].map(([origin, { size }]) => [origin, size]));

function openOwnStore(file: string, vkey: string): WitnessStore {
  try {
    return openStore(file, vkey);
  } catch (error) {
    throw error instanceof StoreError ? new ConfigError([`store: ${error.message}`]) : error;
  }
}

if (import.meta.main) await run(() => start(readConfig(WitnessConfig, process.env)));
