/** GET /v1/me: who the caller is here, what it may call and why a tool is hidden, what is left and what waits. */
import type { FastifyInstance } from 'fastify';

import type { WaitingCall } from '#contracts/held.ts';
import type { Me } from '#contracts/http.ts';
import type { Standing } from '#contracts/me.ts';
import { isReason, publicReason, type PublicReason } from '#contracts/reasons.ts';

import { capabilityOf, refuse, sendJson } from './http.ts';
import type { Parts } from './routes.ts';
import { whoAsks } from './who-asks.ts';

export function meRoutes(app: FastifyInstance, parts: Parts): void {
  app.get('/v1/me', async (request, reply) => {
    const caller = parts.admit(request);
    const answer = await parts.ask(caller, {
      ...whoAsks(request),
      ask: 'me',
      capability: capabilityOf(request),
    });
    if (answer.kind === 'refused') return refuse(reply, answer.code);
    if (answer.kind !== 'me') return refuse(reply, 'service.malformed_answer');
    const waiting = await parts.held.mine(caller.tenant, answer.principal);
    void reply.header('cache-control', 'no-store');
    return sendJson(reply, JSON.stringify({ ...meOf(answer.standing), ...holdsOf(waiting) }));
  });
}

function meOf({ identity, capability, tools, budgets }: Standing): Me {
  const { fault, ...held } = capability;
  return {
    identity,
    capability: { ...held, ...why(fault) },
    tools: tools.map(({ reason, ...tool }) => ({
      ...tool,
      visible: reason === '',
      ...why(reason),
    })),
    budgets,
  };
}

function holdsOf(waiting: readonly WaitingCall[] | undefined): Pick<Me, 'holds'> {
  const time = (ms: number) => new Date(ms).toISOString();
  return waiting === undefined
    ? {}
    : {
        holds: waiting.map((call) => ({
          ...call,
          held_at: time(call.held_at),
          expires_at: time(call.expires_at),
        })),
      };
}

/** A code that this version does not know has no words. */
const why = (code: string): { readonly reason?: PublicReason } =>
  isReason(code) ? { reason: publicReason(code) } : {};
