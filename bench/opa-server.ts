// OPA's own HTTP server with the policy and the input that our worker evaluates.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { findBinary } from '#cli/local/binaries.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import { startProcess, waitUntilReady } from '#cli/local/process.ts';
import { whyNotReady } from '#cli/local/readiness.ts';
import type { NamedBundle } from '#policies/engine/bundle.ts';

export interface OpaServer {
  readonly url: string;
  readonly pid: number;
  readonly stop: () => Promise<unknown>;
}

/** OPA logs and records no decision in this shape: the least it can do. */
export async function startOpaServer({ bundle }: NamedBundle): Promise<OpaServer> {
  const dir = join(CHECKOUT, '.countersign', 'bench-opa');
  for (const [name, text] of Object.entries(bundle.files)) {
    if (name.endsWith('_test.rego') || name === 'facts.json') continue;
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), text);
  }
  const port = await anyFreePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    name: 'opa',
    command: await findBinary('opa'),
    args: ['run', '--server', '--addr', `127.0.0.1:${port}`, '--log-level', 'error', dir],
    env: {},
    logFile: join(CHECKOUT, '.countersign', 'bench-opa.log'),
  });
  await waitUntilReady(server, () => whyNotReady(`${url}/health`), { boundMs: 10_000 });
  return {
    url: `${url}/v1/data/countersign/policy/decision`,
    pid: server.pid,
    stop: () => server.stop(),
  };
}
