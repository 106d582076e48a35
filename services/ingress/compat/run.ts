/** An allowed call on its way: to the server of its tool, by the path of all forwarded calls, and back as one document. */
import type { Json, JsonObject } from '#contracts/json.ts';

import type { Decided } from '../decisions.ts';
import { type Exchange, forwarded } from '../mcp/exchange.ts';
import { forward } from '../mcp/govern.ts';
import { isObject, type RequestMessage } from '../mcp/message.ts';
import { recordOutcome } from '../mcp/outcomes.ts';
import type { Caller } from '../routes.ts';
import type { Asked } from './asked.ts';
import { CODES, CompatFault, faultText, resultText } from './envelope.ts';

interface Allowed {
  readonly caller: Caller;
  readonly decision: Decided;
  readonly name: string;
  readonly args: JsonObject;
}

/** Forwards an allowed call to the server of its tool, and answers with that one's result and our word about it. */
export async function run(asked: Asked, { caller, decision, name, args }: Allowed): Promise<void> {
  const { parts, upstreams, envelope, since } = asked;
  const { id } = envelope;
  const target = upstreams.find(caller.tenant, decision.upstream);
  const params: JsonObject = { name, arguments: args };
  const message: RequestMessage = {
    kind: 'request',
    id: 1,
    method: 'tools/call',
    params,
    body: { jsonrpc: '2.0', id: 1, method: 'tools/call', params },
  };
  if (target === undefined) {
    const judged = {
      decisionId: decision.body.decision_id,
      validUntil: decision.body.valid_until,
    };
    const became = { status: 'refused_late', detail: { error: 'no tool server' } } as const;
    await recordOutcome({ parts, caller }, judged, became);
    throw new CompatFault(CODES.upstream, 'upstream transport', {
      detail: 'This tool has no server; nothing ran.',
    });
  }
  const exchange: Exchange = {
    ...asked,
    caller,
    target,
    message,
    era: '2025-11-25',
    session: undefined,
    mirrored: {},
  };
  if (id === undefined) void asked.reply.code(204);
  await forward(
    exchange,
    {
      message,
      action: name,
      args,
      body: (receipt) => forwarded(message, {}, receipt),
      listens: false,
      document: (text) => (id === undefined ? '' : answerText(id, text, performance.now() - since)),
      tell: (detail) =>
        id === undefined
          ? ''
          : faultText(id, new CompatFault(CODES.upstream, 'upstream transport', { detail })),
    },
    decision,
  );
}

/** The upstream's own answer with the caller's id; a result says also what was decided. */
function answerText(id: Json, text: string, tookMs: number): string {
  const answer = JSON.parse(text) as JsonObject; // it was read before
  const { result } = answer;
  if (!isObject(result)) return JSON.stringify({ ...answer, id });
  const { content = [], isError = false } = result;
  const decided = { decision: 'allow', reason: 'forwarded', latency_ms: Math.round(tookMs) };
  return resultText(id, { ...result, content, isError, _intentgate: decided });
}
