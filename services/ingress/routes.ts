/**
 * What the routes of this process share, and the form in which each file of routes is plugged in (main.ts lists them).
 * A route admits the request, then reads its body, then asks: nobody without a share of the rate costs more than that.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import type { WorkerAnswer } from '#contracts/call.ts';
import type { DecisionId, TenantId } from '#contracts/ids.ts';
import type { OutcomeLeaf, OutcomeStatus } from '#contracts/outcome.ts';
import type { Sender } from '#contracts/sender.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';

import type { Admitted } from './admission.ts';
import type { Question } from './ask.ts';
import type { HeldCalls } from './held.ts';
import type { InFlight } from './in-flight.ts';
import type { Seal } from './seal.ts';

/** Who asks, as far as it is known before a worker proved it. */
export interface Caller extends Admitted {
  readonly identity: string;
  /** What the request shows of a key of its sender; absent where it shows none. */
  readonly sender?: Sender;
}

/** A call, without what `Caller` says. */
export type Call = Omit<Question, 'tenant' | 'identity' | 'sender'>;

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
  /**
   * Bearer identity, its tenant, and room in the rates. Each call to be asked needs an admission of its own: a route
   * that asks several times for one request calls this again for each. @throws Refused identity.*, service.*_rate, request.header
   */
  readonly admit: (request: FastifyRequest) => Caller;
  /** The same for a capability in the place of an identity, where its tenant switched that on. @throws Refused */
  readonly admitCapability: (request: FastifyRequest, token: string) => Caller;
  /** Asks a worker, remembers what its answer proves about the caller, and counts it. Never rejects. */
  readonly ask: (caller: Caller, call: Call) => Promise<WorkerAnswer>;
  readonly seal: Seal;
  readonly held: HeldCalls;
  readonly inFlight: InFlight;
  readonly reportOutcome: ReportOutcome;
  /** Public address of this ingress, without a slash at the end. Known once the server listens. */
  readonly publicUrl: () => string;
}

/** One file of routes. Registered before the server listens; other methods of its paths answer 405 by themselves. */
export type Routes = (app: FastifyInstance, parts: Parts) => void;
