// The two sides of a held call: the agent of the demo, and an operator who is not the one that it acts for.

import { readFile } from 'node:fs/promises';

import { Pool } from 'undici';

import type { RunningSystem } from '#cli/local/system.ts';
import type { ApprovalPreview } from '#contracts/held.ts';

import type { LoadJob } from './load.ts';

const CONNECTIONS = 16;
const ORDER = 'ord_bench';

interface Answer {
  readonly verdict: string;
  readonly approval_id: string;
  readonly approval_handle: string;
}

export interface Sides {
  /** Where the agent asks. */
  readonly url: string;
  /** What the agent sends for a call, for a load generator. */
  readonly request: (tool: string, args: object) => LoadJob['requests'][number];
  readonly ask: (tool: string, args: object) => Promise<Answer>;
  readonly wait: (handle: string) => Promise<void>;
  readonly admin: (method: string, path: string, body?: object) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

/** @throws when the system has no demo */
export async function sidesOf(system: RunningSystem): Promise<Sides> {
  const demo = system.seeded()?.demo;
  if (demo === undefined) throw new Error('the demo is not seeded');
  const read = async (file: string) => (await readFile(file, 'utf8')).trim();
  const [operator = ''] = await Promise.all(demo.operator_token_files.map(read));
  const ingress = new Pool(system.urls.ingress, { connections: CONNECTIONS });
  const ofAgent = {
    authorization: `Bearer ${await read(demo.identity_token_file)}`,
    'countersign-capability': await read(demo.capability_file),
  };
  const agent = { 'content-type': 'application/json', ...ofAgent };
  const bodyOf = (tool: string, args: object) => JSON.stringify({ tool, arguments: args });
  return {
    url: `${system.urls.ingress}/v1/decisions`,
    request: (tool, args) => ({ headers: ofAgent, body: bodyOf(tool, args) }),
    ask: async (tool, args) => {
      const body = bodyOf(tool, args);
      const { body: answer } = await ingress.request({
        method: 'POST',
        path: '/v1/decisions',
        headers: agent,
        body,
      });
      return (await answer.json()) as Answer;
    },
    wait: async (handle) => {
      const path = `/v1/approvals/${handle}?wait=30`;
      const { body } = await ingress.request({ method: 'GET', path, headers: agent });
      await body.text();
    },
    admin: async (method, path, body) => {
      const response = await fetch(`${system.urls.admin}/v1/tenants/${demo.tenant}/${path}`, {
        method,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${operator}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer: unknown = await response.json();
      if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
      return answer;
    },
    close: () => ingress.close(),
  };
}

let amount = 1_000;
/** The arguments of another refund that is held. */
export const refund = () => ({ order_id: ORDER, amount: (amount += 1) });

/** Registers the order of all refunds here. */
export const putOrder = ({ admin }: Sides): Promise<unknown> =>
  admin('PUT', `facts/orders/${ORDER}`, {
    id: ORDER,
    customer: 'bench@example.com',
    total: 1_000_000,
  });

/** The preview of a held call once nothing of it is missing. */
export async function whole({ admin }: Sides, id: string): Promise<ApprovalPreview> {
  for (let looks = 0; looks < 1_000; looks++) {
    // The answer has this shape (contracts/approval-api.ts).
    const preview = (await admin('GET', `approvals/${id}`).catch(() => undefined)) as
      | ApprovalPreview
      | undefined;
    if (preview !== undefined && preview.shown !== '') return preview;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${id} cannot be shown`);
}
