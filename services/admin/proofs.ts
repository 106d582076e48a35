/** The routes of proofs. Needs Postgres; nothing else does. */
import { PROOF_OPERATIONS } from '#contracts/proof-api.ts';
import type { Logger } from '#host/log.ts';

import { type Handlers, mount } from './app.ts';
import { readNumber } from './audit-query.ts';
import { AdminError } from './errors.ts';
import type { ProofReads } from './proof-reads.ts';
import type { Routes } from './routes.ts';

/** @param reads undefined where no database is configured */
export const proofRoutes =
  (reads: ProofReads | undefined): Routes =>
  (app, { deps, authenticate }) =>
    mount(app, {
      operations: PROOF_OPERATIONS,
      handlers: proofHandlers(reads, deps.log),
      authenticate,
    });

function proofHandlers(
  reads: ProofReads | undefined,
  log: Logger,
): Handlers<typeof PROOF_OPERATIONS> {
  const ask = async <T>(question: (reads: ProofReads) => Promise<T>): Promise<T> => {
    if (reads === undefined)
      throw new AdminError('audit.unavailable', 'No database is configured.');
    try {
      return await question(reads);
    } catch (cause) {
      log.warn({ err: cause }, 'the tree cannot be read');
      throw new AdminError('audit.unavailable', '', { cause });
    }
  };
  return {
    getProof: async ({ tenant, path }) => {
      const found = await ask((at) => at.proof(tenant, path['decision'] ?? ''));
      if (found.kind === 'unknown') throw new AdminError('thing.not_found');
      if (found.kind === 'not_sealed') throw new AdminError('audit.not_sealed');
      return plain(found.text);
    },
    getCheckpoint: async () => {
      const note = await ask((at) => at.checkpoint());
      if (note === undefined) throw new AdminError('audit.not_sealed');
      return plain(note);
    },
    getConsistency: async ({ query }) => {
      const max = Number.MAX_SAFE_INTEGER;
      const from = readNumber(query['from'], { otherwise: 0, max });
      const to = readNumber(query['to'], { otherwise: from, max });
      const proof = await ask((at) => at.consistency(from, to));
      if (proof === undefined) throw new AdminError('audit.size');
      return { from, to, proof: proof.map((hash) => Buffer.from(hash).toString('base64')) };
    },
  };
}

const plain = (text: string): Response =>
  new Response(text, { headers: { 'content-type': 'text/plain; charset=utf-8' } });
