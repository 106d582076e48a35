/**
 * The one list of subjects. No other file contains a subject; a test greps for it.
 * A tenant is one token of a restricted alphabet, so it can never smuggle '.', '*' or '>' into a subject.
 */
import { type ApprovalId, type TenantId, tokenOf } from './ids.ts';

/** Calls of one (tenant, agent, session) keep to one shard; one shard at first, more by subject mapping. */
export const SHARDS = 1;

/** Queue group of the decision workers: each call reaches one of them. */
export const WORKER_QUEUE = 'decision-workers';

/** Queue group of approval-escalation. */
export const HELD_QUEUE = 'approval-escalation';

/** Queue group of the notifier. */
export const NOTIFY_QUEUE = 'notifier';

export type ControlKind =
  | 'tenant'
  | 'issuer'
  | 'agent'
  | 'upstream'
  | 'tools'
  | 'capability'
  | 'policy'
  | 'facts'
  | 'source'
  | 'budgets'
  | 'routes'
  | 'operator'
  | 'revocation'
  | 'switch'
  | 'mode'
  | 'exception'
  | 'compat'
  | 'redaction'
  | 'payloads'
  | 'read'
  | 'notices'
  | 'session'
  | 'alert';

/** What happens to a held call, in the order in which it may; `used` may come several times. */
export const APPROVAL_EVENTS = [
  'held',
  'reached',
  'reminded',
  'acknowledged',
  'voted',
  'approved',
  'granted',
  'denied',
  'edited',
  'expired',
  'cancelled',
  'superseded',
  'no_channel',
  'used',
] as const;
export type ApprovalEvent = (typeof APPROVAL_EVENTS)[number];

export type BudgetWindow = 'minute' | 'hour' | 'day' | 'month' | 'capability';

export const SUBJECTS = {
  /** Request-reply: calls to be decided (contracts/call.ts). */
  call: (tenant: TenantId, shard: number) => `v1.call.${tenant}.${shard}`,
  calls: 'v1.call.>',
  /** For span attributes: a template, never a tenant. */
  callTemplate: 'v1.call.{tenant}.{shard}',
  /** Decision records of concurrent calls, any tenants, grouped (contracts/record.ts). */
  decisionBatch: (shard: number) => `v1.decision.batch.${shard}`,
  /** An escalated decision, alone. */
  decisionHold: (tenant: TenantId) => `v1.decision.hold.${tenant}`,
  decisions: 'v1.decision.>',
  /** The k-th use of an approval: its own record, published with expected-last-subject-sequence 0. */
  use: (tenant: TenantId, approval: ApprovalId, k: number) => `v1.use.${tenant}.${approval}.${k}`,
  uses: 'v1.use.>',
  outcome: (tenant: TenantId, shard: number) => `v1.outcome.${tenant}.${shard}`,
  outcomes: 'v1.outcome.>',
  approval: (tenant: TenantId, event: ApprovalEvent, approval: ApprovalId) =>
    `v1.approval.${tenant}.${event}.${approval}`,
  approvals: 'v1.approval.>',
  /** Request-reply: what surfaces ask of, and tell, approval-escalation (contracts/held.ts). */
  held: (tenant: TenantId) => `v1.held.${tenant}`,
  helds: 'v1.held.>',
  /** Request-reply: what admin asks of, and tells, the notifier (contracts/notify.ts). */
  notify: (tenant: TenantId) => `v1.notify.${tenant}`,
  notifies: 'v1.notify.>',
  batches: 'v1.decision.batch.>',
  holds: 'v1.decision.hold.>',
  control: (tenant: TenantId, kind: ControlKind) => `v1.control.${tenant}.${kind}`,
  controls: 'v1.control.>',
  /** Checkpoints that are witnessed (contracts/sealed.ts). */
  sealedCheckpoints: 'v1.sealed._platform.checkpoint',
  sealed: 'v1.sealed.>',
  /** Budget counter of one scope in one window; the window's start is part of the subject, so nothing ever resets. */
  counter: (window: BudgetWindow, tenant: TenantId, scope: string, start: number) =>
    `v1.count.${window}.${tenant}.${scope}.${start.toString(36)}`,
  counters: (window: BudgetWindow) => `v1.count.${window}.>`,
  /** Answers to calls with a call_id, of one worker process. */
  answers: (keeper: string) => `v1.answer.${keeper}`,
  allAnswers: 'v1.answer.>',
  /** What one worker process takes from counters and gives back (contracts/budget.ts). */
  journal: (id: string) => `v1.journal.${id}`,
  journals: 'v1.journal.>',
} as const;

/** What a stored subject says about the records under it: their kind, and their tenant where it names one. */
export interface RecordSubject {
  readonly kind: 'decision' | 'outcome' | `approval.${ApprovalEvent}` | `control.${ControlKind}`;
  readonly tenant: string | undefined;
}

/** Reads the subject of a stored message; undefined for one that carries no records of a known kind. */
export function readRecordSubject(subject: string): RecordSubject | undefined {
  const [version, family, first = '', second = ''] = subject.split('.');
  if (version !== 'v1') return undefined;
  switch (family) {
    case 'decision': // batch.<shard> or hold.<tenant>
      return { kind: 'decision', tenant: first === 'hold' ? second : undefined };
    case 'use':
      return { kind: 'decision', tenant: first };
    case 'outcome':
      return { kind: 'outcome', tenant: first };
    case 'approval':
      return { kind: `approval.${second as ApprovalEvent}`, tenant: first };
    case 'control':
      return { kind: `control.${second as ControlKind}`, tenant: first };
    default:
      return undefined;
  }
}

/** Which use of which approval a subject is for; undefined for one of other records. */
export function readUseSubject(
  subject: string,
): { readonly tenant: string; readonly approval: string; readonly k: number } | undefined {
  const [version, family, tenant = '', approval = '', k = ''] = subject.split('.');
  if (version !== 'v1' || family !== 'use') return undefined;
  return { tenant, approval, k: Number(k) };
}

/** Shard of a call: calls of one session stay in order on one subject. */
export function shardOf(tenant: TenantId, agent: string, session: string): number {
  return SHARDS === 1
    ? 0
    : Number.parseInt(tokenOf(`${tenant}\n${agent}\n${session}`).slice(0, 8), 16) % SHARDS;
}

/** Inbox prefix of a process: replies to it can be published by others only where its permissions say so. */
export const inboxPrefix = (user: string) => `_INBOX.${user}`;

/** Where messages of a durable consumer are asked for. */
export const pullSubject = (stream: string, consumer: string) =>
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;

/** Headers on the bus. */
export const HEADERS = {
  mac: 'Countersign-Mac',
  traceparent: 'traceparent',
} as const;
