/** The one way from a route to a worker: admission before, and after it what the answer teaches and what is counted. */
import type { CallEnvelope, WorkerAnswer } from '#contracts/call.ts';
import type { Tracing } from '#host/tracing.ts';

import type { Admission } from './admission.ts';
import type { Ask } from './ask.ts';
import { bodyBytes, credentialsOf, Refused } from './http.ts';
import type { Call, Caller, Parts } from './routes.ts';
import type { ReadSender } from './sender.ts';

/** What is measured of each call, after it was answered. */
export type Measure = (via: CallEnvelope['via'], answer: WorkerAnswer, tookMs: number) => void;

export interface EntryParts {
  readonly admission: Admission;
  readonly ask: Ask;
  readonly readSender: ReadSender;
  readonly measure: Measure;
  readonly tracing: Tracing;
}

export function createEntry(parts: EntryParts): Pick<Parts, 'admit' | 'admitCapability' | 'ask'> {
  const { admission, measure } = parts;
  const asked = parts.tracing.enabled ? traced(parts.ask, parts.tracing) : parts.ask;
  return {
    admit: (request) => {
      const { token: identity, scheme } = credentialsOf(request);
      const admitted = admission.admit({
        identity,
        address: request.ip,
        bytes: bodyBytes(request) + identity.length,
        now: Date.now(),
      });
      if (typeof admitted === 'string') throw new Refused(admitted);
      const sender = parts.readSender(request, scheme);
      return sender === undefined ? { ...admitted, identity } : { ...admitted, identity, sender };
    },
    admitCapability: (request, token) => {
      const admitted = admission.admit({
        identity: token,
        capability: true,
        address: request.ip,
        bytes: bodyBytes(request) + token.length,
        now: Date.now(),
      });
      if (typeof admitted === 'string') throw new Refused(admitted);
      return { ...admitted, identity: token };
    },
    ask: async (caller: Caller, call: Call) => {
      const from = performance.now();
      const { tenant, identity, sender } = caller;
      const answer = await asked(
        sender === undefined
          ? { ...call, tenant, identity }
          : { ...call, tenant, identity, sender },
      );
      admission.learn(caller, answer);
      measure(call.via, answer, performance.now() - from);
      return answer;
    },
  };
}

/** The same question inside a span that the worker's span hangs below. */
function traced(ask: Ask, tracing: Tracing): Ask {
  return async (question) => {
    const { via, traceparent: parent = '' } = question;
    const attributes = { via, ...mcpAttributes(question) };
    const span = tracing.begin(`ask ${question.ask}`, 'client', { parent, attributes });
    const answer = await ask({ ...question, traceparent: span.traceparent });
    if (answer.kind === 'refused') span.end({ code: answer.code }, answer.code);
    else span.end(answer.kind === 'decided' ? { verdict: answer.body.verdict } : {});
    return answer;
  };
}

const ACTION_PREFIX = 'mcp:';

/** A judged MCP request in the words of OpenTelemetry's conventions for MCP and generative AI. */
function mcpAttributes({ via, ask, tool, client }: Call): Record<string, string> {
  if (via !== 'mcp' || ask !== 'decide') return {};
  const version = { 'mcp.protocol.version': client.era };
  if (tool.startsWith(ACTION_PREFIX)) {
    return { ...version, 'mcp.method.name': tool.slice(ACTION_PREFIX.length) };
  }
  return {
    ...version,
    'mcp.method.name': 'tools/call',
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': tool,
  };
}
