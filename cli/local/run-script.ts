// Runs one of the repository's own programs (tests, conformance, bench) with the native programs found beforehand.

import { spawn } from 'node:child_process';

import { EXIT, progress } from '#cli/output.ts';

import { findBinary } from './binaries.ts';
import { CHECKOUT } from './places.ts';

/** Runs a file with Node in this terminal and gives its exit code. Signals are passed on. */
export async function runScript(file: string, args: readonly string[]): Promise<number> {
  const env = {
    ...process.env,
    // Found once here, so that nothing below waits for a download or looks twice.
    COUNTERSIGN_NATS_SERVER: await findBinary('nats-server', progress),
    COUNTERSIGN_OPA: await findBinary('opa', progress),
  };
  const child = spawn(process.execPath, [file, ...args], { cwd: CHECKOUT, env, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // At a terminal, Ctrl-C has reached the child already.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? EXIT.failed));
  });
}
