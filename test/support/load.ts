// A steady closed-loop load that remembers every answer, for tests that break things meanwhile.

import type { Answer, Live } from './live.ts';

export interface Seen {
  /** Decision ids of answered allows, in the order of their answers. */
  readonly allowed: string[];
  /** How often each other end was seen: a reason code, or the name of a transport error. */
  readonly others: Map<string, number>;
}

export interface Load {
  readonly seen: Seen;
  /** Ends the load and waits for its last answers. */
  readonly stop: () => Promise<Seen>;
}

const PAUSE_AFTER_REFUSAL_MS = 5;

/** @param width callers at once. Each answer is checked to be an allow or a refusal with a code: nothing in between */
export function startLoad(
  live: Live,
  width: number,
  body: (n: number) => Record<string, unknown> = lookUp,
): Load {
  const seen: Seen = { allowed: [], others: new Map() };
  let running = true;
  let n = 0;
  const caller = async () => {
    while (running) {
      n += 1;
      const answer = await live.call(body(n)).catch((error: unknown) => error as Error);
      const end = endOf(answer);
      if (end === 'allow') seen.allowed.push(String((answer as Answer).body.decision_id));
      else {
        seen.others.set(end, (seen.others.get(end) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_REFUSAL_MS));
      }
    }
  };
  const callers = Promise.all(Array.from({ length: width }, caller));
  return {
    seen,
    stop: async () => {
      running = false;
      await callers;
      return seen;
    },
  };
}

const lookUp = (n: number) => ({ tool: 'lookup_order', arguments: { order_id: `ord_${n}` } });

function endOf(answer: Answer | Error): string {
  if (answer instanceof Error)
    return `transport ${(answer as { code?: string }).code ?? answer.name}`;
  const { status, body } = answer;
  if (status === 200 && body.verdict === 'allow') return 'allow';
  const code = body.reason?.code;
  if (body.verdict === 'allow' || code === undefined)
    throw new Error(`neither allow nor refusal: ${status} ${JSON.stringify(body)}`);
  return code;
}
