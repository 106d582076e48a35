// Our witness, made in a temporary folder and run in this process or as one of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { CHECKOUT } from '#cli/local/places.ts';

import type { WitnessConfig } from '../../services/witness/config.ts';
import { makeWitness, witnessFiles } from '../../services/witness/make.ts';

export interface WitnessFolder {
  readonly dir: string;
  readonly vkey: string;
  readonly config: WitnessConfig;
  /** Replaces the logs that it witnesses. */
  readonly know: (logs: readonly string[]) => Promise<void>;
  readonly remove: () => Promise<void>;
}

/** @param logs vkeys of the logs that it witnesses */
export async function witnessFolder(logs: readonly string[]): Promise<WitnessFolder> {
  const dir = await mkdtemp(join(tmpdir(), 'witness-'));
  const vkey = makeWitness(dir, 'witness.example/test');
  const { key, store } = witnessFiles(dir);
  const logsFile = join(dir, 'logs.policy');
  const know = async (known: readonly string[]) =>
    writeFile(logsFile, [...known.map((log) => `log ${log}`), 'quorum none', ''].join('\n'));
  await know(logs);
  return {
    dir,
    vkey,
    know,
    config: {
      COUNTERSIGN_HEALTH_PORT: 0,
      COUNTERSIGN_LOG_LEVEL: 'silent',
      COUNTERSIGN_WITNESS_HOST: '127.0.0.1',
      COUNTERSIGN_WITNESS_PORT: 0,
      COUNTERSIGN_WITNESS_KEY_FILE: key,
      COUNTERSIGN_WITNESS_STORE: store,
      COUNTERSIGN_WITNESS_LOGS_FILE: logsFile,
    },
    remove: async () => rm(dir, { recursive: true, force: true }),
  };
}

export interface WitnessProcess {
  readonly url: string;
  /** kill -9; resolves when it has ended. */
  readonly kill: () => Promise<void>;
}

/** Starts it as a process of its own; resolves once it listens. */
export async function witnessProcess({ config }: WitnessFolder): Promise<WitnessProcess> {
  const env = Object.entries({ ...config, COUNTERSIGN_LOG_LEVEL: 'info' });
  const child: ChildProcess = spawn(
    process.execPath,
    [join(CHECKOUT, 'services/witness/main.ts')],
    {
      env: {
        PATH: process.env['PATH'],
        ...Object.fromEntries(env.map(([k, v]) => [k, String(v)])),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const port = await portOf(child);
  return {
    url: `http://127.0.0.1:${port}`,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}

/** Read on to its end: a process whose output nobody reads stops one day. */
async function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the witness ended: ${code}`)));
    if (child.stdout === null) throw new Error('the witness has no output');
    createInterface(child.stdout).on('line', (line) => {
      const { msg, port } = JSON.parse(line) as { readonly msg: string; readonly port: number };
      if (msg === 'witnessing') resolve(port);
    });
  });
}
