/** What the routes of this process share, and the form in which each file of routes is plugged in (main.ts lists them). */
import type { FastifyInstance } from 'fastify';

import type { WorkerAnswer } from '#contracts/call.ts';
import type { DecisionId, TenantId } from '#contracts/ids.ts';
import type { OutcomeLeaf, OutcomeStatus } from '#contracts/outcome.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';

import type { Question } from './ask.ts';
import type { Seal } from './seal.ts';

/** A call as a route got it: whose tenant it is shows only when its identity was looked at. */
export type Incoming = Omit<Question, 'tenant'>;

/** `tenant` is undefined only beside a refusal. */
export interface Submitted {
  readonly answer: WorkerAnswer;
  readonly tenant: TenantId | undefined;
}

/**
 * Chooses the tenant by the identity, applies the admission rates, asks a worker and counts the answer. Never
 * rejects. `incoming.client.address` is the source address; `incoming.identity` may be '' (identity.missing).
 */
export type Submit = (incoming: Incoming) => Promise<Submitted>;

/** What became of an allowed call. */
export interface Outcome {
  readonly tenant: TenantId;
  readonly decisionId: DecisionId;
  readonly status: OutcomeStatus;
  readonly reportedBy: OutcomeLeaf['reported_by'];
  /** Canonical JSON text of the section `detail`, such as `{"error":"...","result":...}`; `{}` = nothing to say. */
  readonly detail: string;
  /** After the end of the decision's validity. */
  readonly late: boolean;
}

/**
 * recorded: acknowledged by the stream. repeated: this very outcome had been recorded. other: another outcome of
 * this decision had been recorded first, and stands. @throws NotRecorded when the stream did not acknowledge
 */
export type ReportOutcome = (outcome: Outcome) => Promise<'recorded' | 'repeated' | 'other'>;

/** What every file of routes gets. */
export interface Parts {
  readonly log: Logger;
  readonly view: ControlView;
  readonly submit: Submit;
  readonly seal: Seal;
  readonly reportOutcome: ReportOutcome;
}

/** One file of routes. Registered before the server listens; other methods of its paths answer 405 by themselves. */
export type Routes = (app: FastifyInstance, parts: Parts) => void;
