/**
 * OpenID AuthZEN Authorization API 1.0. Subject = the person that a registered enforcement point speaks for, action
 * name = tool, arguments = `{subject, action, resource, context}`. Evaluations are judged and recorded, but reserve no
 * budget and open no hold: an escalated call is `false`, and the context says so.
 * @see https://openid.net/specs/authorization-api-1_0.html
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';

import {
  CONTEXT_UPSTREAM,
  Evaluation,
  type EvaluationAnswer,
  Evaluations,
  type EvaluationsSemantic,
} from '#contracts/authzen.ts';
import {
  DEADLINE_DEFAULT_MS,
  DEADLINE_MAX_MS,
  UpstreamName,
  type WorkerAnswer,
} from '#contracts/call.ts';
import { asJson } from '#contracts/json.ts';
import { publicReason, reasonSpec } from '#contracts/reasons.ts';

import { argumentsText } from './decisions.ts';
import {
  bodyAs,
  capabilityOf,
  clientOf,
  faultOf,
  refuse,
  Refused,
  sendJson,
  traceparentOf,
} from './http.ts';
import type { Call, Caller, Parts } from './routes.ts';

const EVALUATION_PATH = '/access/v1/evaluation';
const EVALUATIONS_PATH = '/access/v1/evaluations';
const UNAUTHENTICATED = 401;

const evaluationShape = Compile(Evaluation);
const evaluationsShape = Compile(Evaluations);
const upstreamShape = Compile(UpstreamName);

export function authzenRoutes(app: FastifyInstance, parts: Parts): void {
  app.post(EVALUATION_PATH, async (request, reply) => {
    const caller = parts.admit(request);
    return answerOne(parts, reply, {
      caller,
      call: callOf(request, bodyAs(request, evaluationShape)),
    });
  });
  app.post(EVALUATIONS_PATH, async (request, reply) => {
    const caller = parts.admit(request);
    const body = bodyAs(request, evaluationsShape);
    const calls = evaluationsOf(body).map((one) => callOf(request, one));
    const [only] = calls;
    // Without evaluations this is a single one (section 7.1), and is answered as one.
    if (only !== undefined && (body.evaluations ?? []).length === 0) {
      return answerOne(parts, reply, { caller, call: only });
    }
    const semantic = body.options?.evaluations_semantic ?? 'execute_all';
    const asked = askEach(parts, request, caller);
    const answers = await (semantic === 'execute_all'
      ? Promise.all(calls.map(asked))
      : untilDecided(calls, asked, semantic));
    return sendJson(reply, JSON.stringify({ evaluations: answers.map(evaluationAnswer) }));
  });
  app.get('/.well-known/authzen-configuration', async (_, reply) => {
    const base = parts.publicUrl();
    const configuration = {
      policy_decision_point: base,
      access_evaluation_endpoint: base + EVALUATION_PATH,
      access_evaluations_endpoint: base + EVALUATIONS_PATH,
    };
    return sendJson(reply, JSON.stringify(configuration));
  });
}

/** The evaluations of a request, defaults filled in; a request without any is one itself. @throws Refused request.schema */
function evaluationsOf({ evaluations = [], ...body }: Evaluations): Evaluation[] {
  const single = evaluations.length === 0;
  const { subject, action, resource, context } = body;
  const defaults = { subject, action, resource, context };
  return (single ? [{}] : evaluations).map((one, at) => {
    const whole = withoutAbsent({ ...defaults, ...one });
    if (evaluationShape.Check(whole)) return whole;
    throw new Refused(
      'request.schema',
      faultOf(evaluationShape, whole, single ? '' : `/evaluations/${at}`),
    );
  });
}

const withoutAbsent = (members: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

function callOf(request: FastifyRequest, evaluation: Evaluation): Call {
  const { subject, action, resource, context = {} } = evaluation;
  return {
    ask: 'evaluate',
    via: 'authzen',
    capability: capabilityOf(request),
    tool: action.name,
    upstream: upstreamOf(context),
    forwards: false,
    asserted: { type: subject.type, id: subject.id },
    client: clientOf(request),
    ...traceparentOf(request),
    // All of it from a body that the strict parser made.
    args: argumentsText(asJson({ subject, action, resource, context })),
    deadlineMs: DEADLINE_DEFAULT_MS,
  };
}

function upstreamOf(context: Readonly<Record<string, unknown>>): string {
  const upstream = Object.hasOwn(context, CONTEXT_UPSTREAM) ? context[CONTEXT_UPSTREAM] : '';
  if (upstream === '' || upstreamShape.Check(upstream)) return upstream;
  throw new Refused('request.schema', `/context ${CONTEXT_UPSTREAM} must name an upstream.`);
}

type AskOne = (call: Call, at: number) => Promise<WorkerAnswer>;

/**
 * Asks for one evaluation of several. The first uses the admission of the request; each further one needs its own.
 * A refusal stays with its evaluation, but for an identity that does not hold: that is the request's.
 */
function askEach(parts: Parts, request: FastifyRequest, first: Caller): AskOne {
  const until = performance.now() + DEADLINE_MAX_MS;
  return async (call, at) => {
    const left = Math.floor(until - performance.now());
    if (left < 1) return refused('service.timeout');
    let caller = first;
    if (at > 0) {
      try {
        caller = parts.admit(request);
      } catch (error) {
        if (error instanceof Refused) return refused(error.code);
        throw error;
      }
    }
    const answer = await parts.ask(caller, {
      ...call,
      deadlineMs: Math.min(call.deadlineMs, left),
    });
    if (answer.kind === 'refused' && reasonSpec(answer.code).status === UNAUTHENTICATED) {
      throw new Refused(answer.code);
    }
    return answer;
  };
}

const refused = (code: Refused['code']): WorkerAnswer => ({
  n: 0,
  kind: 'refused',
  code,
  proven: false,
});

/** One after the other, up to the first that decides the whole (section 7.1.2.1). */
async function untilDecided(
  calls: readonly Call[],
  ask: AskOne,
  semantic: Exclude<EvaluationsSemantic, 'execute_all'>,
): Promise<WorkerAnswer[]> {
  const last = semantic === 'permit_on_first_permit';
  const answers: WorkerAnswer[] = [];
  for (const [at, call] of calls.entries()) {
    const answer = await ask(call, at);
    answers.push(answer);
    if (permits(answer) === last) break;
  }
  return answers;
}

async function answerOne(
  parts: Parts,
  reply: FastifyReply,
  { caller, call }: { readonly caller: Caller; readonly call: Call },
): Promise<FastifyReply> {
  const answer = await parts.ask(caller, call);
  if (answer.kind === 'refused') return refuse(reply, answer.code);
  return sendJson(reply, JSON.stringify(evaluationAnswer(answer)));
}

const permits = (answer: WorkerAnswer): boolean =>
  answer.kind === 'decided' && answer.body.verdict === 'allow';

function evaluationAnswer(answer: WorkerAnswer): EvaluationAnswer {
  if (answer.kind !== 'decided') {
    const code = answer.kind === 'refused' ? answer.code : 'service.malformed_answer';
    const { status, text } = reasonSpec(code);
    const context = {
      verdict: 'block',
      reason: publicReason(code),
      error: { status, message: text },
    };
    return { decision: false, context };
  }
  const { decision_id: id, call_id: _, budget: __, approval_id: ___, ...body } = answer.body;
  const recorded = { durability: answer.durability };
  return { decision: permits(answer), context: { id, ...body, recorded } };
}
