/** The one way from a route to a worker: admission before, and after it what the answer teaches and what is counted. */
import type { FastifyRequest } from 'fastify';

import type { CallEnvelope, WorkerAnswer } from '#contracts/call.ts';

import type { Admission } from './admission.ts';
import type { Ask } from './ask.ts';
import { bearerOf, bodyBytes, Refused } from './http.ts';
import type { Parts } from './routes.ts';

/** What is measured of each call, after it was answered. */
export type Measure = (via: CallEnvelope['via'], answer: WorkerAnswer, tookMs: number) => void;

export function createEntry(
  admission: Admission,
  ask: Ask,
  measure: Measure,
): Pick<Parts, 'admit' | 'ask'> {
  return {
    admit: (request: FastifyRequest) => {
      const identity = bearerOf(request);
      const admitted = admission.admit({
        identity,
        address: request.ip,
        bytes: bodyBytes(request) + identity.length,
        now: Date.now(),
      });
      if (typeof admitted === 'string') throw new Refused(admitted);
      return { ...admitted, identity };
    },
    ask: async (caller, call) => {
      const from = performance.now();
      const { tenant, identity } = caller;
      const answer = await ask({ ...call, tenant, identity });
      admission.learn(caller, answer);
      measure(call.via, answer, performance.now() - from);
      return answer;
    },
  };
}
