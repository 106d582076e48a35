/**
 * What ingress and decision-worker say to each other. A message carries the calls of one event-loop turn and
 * tenant: for each call one line of envelope and one line of canonical arguments. The canonical bytes are made
 * once, by the ingress; they are what is judged, hashed, recorded and forwarded.
 */
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

import { BudgetShare } from './budget.ts';
import { DecisionIdSchema, RevisionSchema, TenantIdSchema, ApprovalIdSchema } from './ids.ts';
import { Standing } from './me.ts';
import { isReason, type Reason } from './reasons.ts';
import { Sender } from './sender.ts';

export const ARGUMENTS_BYTES_MAX = 256 * 1024;
export const DEADLINE_DEFAULT_MS = 1_000;
export const DEADLINE_MAX_MS = 10_000;
/** A worker drops calls older than their deadline plus this tolerated difference of clocks. */
export const CLOCK_SKEW_MS = 5_000;
/** How long an allow may be acted on by an enforcement point that asked. */
export const ALLOW_VALID_MS = 30_000;
export const CALL_ID_MAX = 128;
/** Longest accepted agent identity and capability, in characters. */
export const TOKEN_CHARS_MAX = 16 * 1024;

const text = (max: number) => Type.String({ maxLength: max });
const name = (max: number) => Type.String({ minLength: 1, maxLength: max });

/** A tool or upstream name: printable ASCII without blanks, exact and case-sensitive. */
export const ToolName = Type.String({ pattern: '^[!-~]{1,128}$' });
export const UpstreamName = Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' });

/** A purpose that travels with the call. */
export const DeclaredIntent = Type.Object(
  {
    purpose: name(2_000),
    allowed_tools: Type.Optional(Type.Array(ToolName, { maxItems: 256 })),
    forbidden_tools: Type.Optional(Type.Array(ToolName, { maxItems: 256 })),
  },
  { additionalProperties: false },
);
export type DeclaredIntent = Static<typeof DeclaredIntent>;

/** Where a call came in. */
export const Via = Type.Union([
  Type.Literal('http'),
  Type.Literal('authzen'),
  Type.Literal('mcp'),
  /** IntentGate's route: the capability is the identity too. */
  Type.Literal('compat'),
]);

/**
 * decide: judge, reserve, record. evaluate: judge and record, but reserve no budget and open no hold (AuthZEN).
 * visible: which tools of an upstream identity and capability let this caller see. me: all about the caller itself.
 * Neither of the latter two is judged or recorded.
 */
export const Ask = Type.Union([
  Type.Literal('decide'),
  Type.Literal('evaluate'),
  Type.Literal('visible'),
  Type.Literal('me'),
]);

export const CallEnvelope = Type.Object(
  {
    v: Type.Literal(1),
    /** Names this call in the answers to one ingress process. */
    n: Type.Integer({ minimum: 0 }),
    ask: Ask,
    via: Via,
    tenant: TenantIdSchema,
    /** Milliseconds UTC by the ingress's clock. */
    sent_at: Type.Integer(),
    /** Milliseconds left when sent. */
    remaining_ms: Type.Integer({ minimum: 0, maximum: DEADLINE_MAX_MS }),
    identity: name(TOKEN_CHARS_MAX),
    capability: text(TOKEN_CHARS_MAX),
    sender: Type.Optional(Sender),
    tool: text(128),
    /** Empty = whichever upstream has a tool of this name, if it is one. */
    upstream: text(63),
    /** True when the ingress itself forwards an allowed call and reports the outcome. */
    forwards: Type.Boolean(),
    /** True = with a receipt (receipt.ts). */
    receipt: Type.Optional(Type.Boolean()),
    call_id: Type.Optional(name(CALL_ID_MAX)),
    /** True where the ingress comes back for a held call: only a yes to exactly this call counts, never a grant. */
    resumes: Type.Optional(Type.Boolean()),
    intent: Type.Optional(DeclaredIntent),
    task_id: Type.Optional(name(128)),
    session_id: Type.Optional(name(256)),
    min_revision: Type.Optional(RevisionSchema),
    /** AuthZEN: the subject that a registered enforcement point speaks for. */
    asserted: Type.Optional(
      Type.Object({ type: text(64), id: name(256) }, { additionalProperties: false }),
    ),
    client: Type.Object(
      { address: text(64), name: text(128), version: text(64), era: text(16) },
      { additionalProperties: false },
    ),
    traceparent: Type.Optional(text(64)),
  },
  { additionalProperties: false },
);
export type CallEnvelope = Static<typeof CallEnvelope>;

/** One call on its way to a worker: envelope, and arguments as canonical JSON text. */
export interface CallLines {
  readonly envelope: CallEnvelope;
  readonly args: string;
}

const envelopeCheck = Compile(CallEnvelope);

/** Bytes between two processes that do not have the agreed form. */
export class MalformedMessage extends Error {}

export function encodeCalls(calls: readonly CallLines[]): string {
  let message = '';
  for (const { envelope, args } of calls) message += `${JSON.stringify(envelope)}\n${args}\n`;
  return message;
}

/** The calls of a message. @throws MalformedMessage */
export function decodeCalls(message: string): CallLines[] {
  const lines = message.split('\n');
  if (lines.pop() !== '' || lines.length === 0 || lines.length % 2 !== 0) {
    throw new MalformedMessage('lines of envelope and arguments do not pair up');
  }
  const calls: CallLines[] = [];
  for (let at = 0; at < lines.length; at += 2) {
    const envelope = parseLine(lines[at] ?? '');
    if (!envelopeCheck.Check(envelope)) throw new MalformedMessage('not a call envelope');
    calls.push({ envelope, args: lines[at + 1] ?? '' });
  }
  return calls;
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new MalformedMessage('not JSON', { cause });
  }
}

export const Verdict = Type.Union([
  Type.Literal('allow'),
  Type.Literal('block'),
  Type.Literal('escalate'),
]);
export type Verdict = Static<typeof Verdict>;

export const PublicReasonSchema = Type.Object({
  code: Type.String({ description: 'Stable code of the closed table of reasons.' }),
  check: Type.String(),
  message: Type.String(),
  help: Type.String(),
});

/** What a caller learns of a decision; the ingress adds `recorded`. */
export const DecisionBody = Type.Object({
  decision_id: DecisionIdSchema,
  call_id: Type.Optional(Type.String()),
  verdict: Verdict,
  reason: PublicReasonSchema,
  policy_reason: Type.Optional(Type.String()),
  policy: Type.Object({ digest: Type.String(), revision: Type.String() }),
  obligations: Type.Array(Type.Unknown()),
  budget: Type.Optional(Type.Array(BudgetShare)),
  valid_until: Type.String({ description: 'RFC 3339. An allow must not be acted on later.' }),
  mode: Type.Optional(
    Type.Union([Type.Literal('observe'), Type.Literal('soft-block')], {
      description: 'Rollout mode that it was judged in. Left out where everything is enforced.',
    }),
  ),
  warning: Type.Optional(
    Type.String({
      description: 'Allowed only because a rollout mode or an exception lifted `reason`.',
    }),
  ),
  approval_id: Type.Optional(ApprovalIdSchema),
  approval_expires_at: Type.Optional(
    Type.String({
      description: 'RFC 3339. Until then people may approve it, and it may be released.',
    }),
  ),
});
export type DecisionBody = Static<typeof DecisionBody>;

/** What survives: a power cut, a crash of processes, or neither. */
export const Durability = Type.Union([
  Type.Literal('power-cut'),
  Type.Literal('process-crash'),
  Type.Literal('none'),
]);
export type Durability = Static<typeof Durability>;

/** Whom a kill switch can name in a call, as the worker proved it (stop.ts). */
export const CallScope = Type.Object({
  actors: Type.Array(Type.String()),
  person: Type.String(),
  workflow: Type.String(),
  sessions: Type.Array(Type.String()),
});
export type CallScope = Static<typeof CallScope>;

/** A worker's answer to one call. */
export const WorkerAnswer = Type.Union([
  Type.Object({
    n: Type.Integer({ minimum: 0 }),
    kind: Type.Literal('decided'),
    body: DecisionBody,
    /** Where the record stands: stream epoch, sequence, index within the message. Sealed before it leaves. */
    position: Type.Object({
      epoch: Type.String(),
      sequence: Type.Integer(),
      index: Type.Integer(),
    }),
    durability: Durability,
    /** Where one was asked for. */
    receipt: Type.Optional(Type.String()),
    /** Who asked, as the worker proved it; outcome and resume must come from the same. */
    agent: Type.String(),
    principal: Type.String({ description: 'Digest of tenant, agent and person' }),
    upstream: Type.String(),
    session: Type.String(),
    /** With an allow that the ingress forwards. */
    scope: Type.Optional(CallScope),
    /** True when this answer was given before (same call_id): it must not be forwarded again. */
    repeated: Type.Boolean(),
  }),
  Type.Object({
    n: Type.Integer({ minimum: 0 }),
    kind: Type.Literal('refused'),
    code: Type.Unsafe<Reason>({ type: 'string' }),
    /** Set once the signature held: whose rate this counts against. */
    proven: Type.Boolean(),
  }),
  Type.Object({
    n: Type.Integer({ minimum: 0 }),
    kind: Type.Literal('visible'),
    agent: Type.String(),
    principal: Type.String(),
    scope: Type.Optional(CallScope),
    tools: Type.Array(
      Type.Object({ name: Type.String(), visible: Type.Boolean(), reason: Type.String() }),
    ),
  }),
  Type.Object({
    n: Type.Integer({ minimum: 0 }),
    kind: Type.Literal('me'),
    agent: Type.String(),
    principal: Type.String(),
    standing: Standing,
  }),
]);
export type WorkerAnswer = Static<typeof WorkerAnswer>;

const answerCheck = Compile(WorkerAnswer);

export function encodeAnswers(answers: readonly WorkerAnswer[]): string {
  let message = '';
  for (const answer of answers) message += `${JSON.stringify(answer)}\n`;
  return message;
}

/** The answers of a message. @throws MalformedMessage when a line is not a whole answer. */
export function decodeAnswers(message: string): WorkerAnswer[] {
  const lines = message.split('\n');
  if (lines.pop() !== '' || lines.length === 0) {
    throw new MalformedMessage('the last answer is cut');
  }
  return lines.map((line) => {
    const answer = parseLine(line);
    if (!answerCheck.Check(answer)) throw new MalformedMessage('not an answer');
    if (answer.kind === 'refused' && !isReason(answer.code)) {
      throw new MalformedMessage('unknown reason');
    }
    return answer;
  });
}
