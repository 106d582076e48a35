// OPA's own HTTP server with the policies and the input that our worker evaluates: for each call the floor's and the tenant's.

import { mkdir, rm, writeFile } from 'node:fs/promises';
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

const BOTH = `package countersign.bench

decisions := [data.countersign.floor.decision, data.countersign.policy.decision]
`;

/** OPA logs and records no decision in this shape: the least it can do. */
export async function startOpaServer(policies: readonly NamedBundle[]): Promise<OpaServer> {
  const dir = join(CHECKOUT, '.countersign', 'bench-opa');
  await rm(dir, { recursive: true, force: true });
  const folders = policies.map(({ bundle }) => ({ path: join(dir, bundle.role), bundle }));
  for (const { path, bundle } of folders) {
    for (const [name, text] of Object.entries(bundle.files)) {
      if (name.endsWith('_test.rego') || name === 'facts.json') continue;
      await mkdir(dirname(join(path, name)), { recursive: true });
      await writeFile(join(path, name), text);
    }
  }
  const both = join(dir, 'both.rego');
  await writeFile(both, BOTH);
  const port = await anyFreePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    name: 'opa',
    command: await findBinary('opa'),
    args: [
      'run',
      '--server',
      '--addr',
      `127.0.0.1:${port}`,
      '--log-level',
      'error',
      both,
      ...folders.map(({ path }) => path),
    ],
    env: {},
    logFile: join(CHECKOUT, '.countersign', 'bench-opa.log'),
  });
  await waitUntilReady(server, () => whyNotReady(`${url}/health`), { boundMs: 10_000 });
  return {
    url: `${url}/v1/data/countersign/bench/decisions`,
    pid: server.pid,
    stop: () => server.stop(),
  };
}
