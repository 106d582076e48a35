/**
 * What became of an allowed call: one record for each decision, acknowledged by the stream before anybody hears of it.
 * Who runs a call itself reports here by the ref of its answer; the MCP relay reports its own.
 */
import { hash, randomBytes } from 'node:crypto';

import { Compile } from 'typebox/compile';

import type { Durability, WorkerAnswer } from '#contracts/call.ts';
import { canonical, type Json, type JsonObject } from '#contracts/json.ts';
import { type OutcomeLeaf, OutcomeReport } from '#contracts/outcome.ts';
import { encodeRecords, sealPayload } from '#contracts/record.ts';
import { shardOf, SUBJECTS } from '#contracts/subjects.ts';
import { NotRecorded, type PublishRecord } from '#host/publish.ts';

import { bodyAs, refuse, Refused, sendJson } from './http.ts';
import type { Outcome, ReportOutcome, Routes } from './routes.ts';
import type { Sealed } from './seal.ts';
import { whoAsks } from './who-asks.ts';

/** What a tool returned is kept up to this size. */
const RESULT_BYTES_MAX = 64 * 1024;
/** A ref is good for a report until this long after the decision's validity. */
const LATE_MAX_MS = 24 * 3_600_000;
/** Reports that are remembered, to tell a repeat from another outcome. The chain keeps the first for good. */
const REMEMBERED_MAX = 100_000;

const reportShape = Compile(OutcomeReport);

/** A reporter over one publisher. */
export function createReportOutcome(publish: PublishRecord): ReportOutcome {
  const remembered = new Map<string, { readonly digest: string; acknowledged: boolean }>();
  const remember = (id: string, digest: string) => {
    for (const oldest of remembered.keys()) {
      if (remembered.size < REMEMBERED_MAX) break;
      remembered.delete(oldest);
    }
    const entry = { digest, acknowledged: false };
    remembered.set(id, entry);
    return entry;
  };
  return async (outcome) => {
    const { decisionId, tenant } = outcome;
    const digest = hash('sha256', `${outcome.status}\n${outcome.detail}`, 'hex');
    const before = remembered.get(decisionId);
    if (before?.acknowledged === true) return before.digest === digest ? 'repeated' : 'other';
    const entry = before?.digest === digest ? before : remember(decisionId, digest);
    const subject = SUBJECTS.outcome(tenant, shardOf(tenant, '', ''));
    // The message id makes a second report within the window a duplicate, whichever replica it comes by.
    const stored = await publish(subject, recordOf(outcome), { messageId: decisionId });
    // A duplicate that this process did not send itself: another outcome stands, or it cannot be told.
    if (stored.duplicate && before?.digest !== digest) {
      if (before === undefined) remembered.delete(decisionId);
      else remembered.set(decisionId, before);
      return 'other';
    }
    entry.acknowledged = true;
    return stored.duplicate ? 'repeated' : 'recorded';
  };
}

function recordOf(outcome: Outcome): string {
  const freshSalt = () => randomBytes(16).toString('hex');
  const { payload, commitments } = sealPayload({ detail: outcome.detail }, {}, freshSalt);
  const leaf: OutcomeLeaf = {
    at: Date.now(),
    commitments,
    decision_id: outcome.decisionId,
    id: outcome.decisionId, // one outcome for each decision: the chain takes the first of this id
    kind: 'outcome',
    late: outcome.late,
    reported_by: outcome.reportedBy,
    status: outcome.status,
    tenant: outcome.tenant,
    v: 1,
  };
  return encodeRecords([{ leaf: canonical(leaf), payload }]);
}

/** POST /v1/decisions/{id}/outcome. @param durability class of the stream of outcomes now */
export function outcomeRoutes(durability: () => Durability): Routes {
  return (app, parts) => {
    app.post<{ Params: { id: string } }>('/v1/decisions/:id/outcome', async (request, reply) => {
      const caller = parts.admit(request);
      const report = bodyAs(request, reportShape);
      const outcome = { tenant: caller.tenant, status: report.status, detail: detailOf(report) };
      const sealed = parts.seal.open('ref', report.ref);
      if (sealed === undefined || !sameDecision(sealed, request.params.id)) {
        return refuse(reply, 'request.unknown_ref');
      }
      const answer = await parts.ask(caller, whoAsks(request));
      if (answer.kind === 'refused') return refuse(reply, answer.code);
      if (!sameAsker(sealed, answer)) return refuse(reply, 'request.unknown_ref');
      const late = Date.now() > sealed.expiresAt;
      const decisionId = sealed.id;
      const end = await parts
        .reportOutcome({ ...outcome, decisionId, reportedBy: 'caller', late })
        .catch(unrecorded);
      if (end === 'unrecorded') return refuse(reply, 'evidence.outcome_unavailable');
      if (end === 'other') return refuse(reply, 'request.outcome_repeated');
      const recorded = { durability: durability() };
      return sendJson(reply, JSON.stringify({ decision_id: decisionId, late, recorded }));
    });
  };
}

/** `{"error":...,"result":...}` as canonical text. @throws Refused request.too_large */
function detailOf({ error, result }: OutcomeReport): string {
  const detail: JsonObject = {};
  if (error !== undefined) detail['error'] = error;
  if (result !== undefined) {
    const text = canonical(result as Json); // part of a body that the strict parser made
    if (Buffer.byteLength(text) > RESULT_BYTES_MAX) {
      throw new Refused('request.too_large', 'A result takes at most 64 KiB.');
    }
    detail['result'] = result as Json;
  }
  return canonical(detail);
}

const sameDecision = (sealed: Sealed, id: string): boolean =>
  sealed.id === id && Date.now() <= sealed.expiresAt + LATE_MAX_MS;

/** The ref belongs to whoever asked: same tenant, agent and person. */
const sameAsker = (sealed: Sealed, answer: WorkerAnswer): boolean =>
  answer.kind === 'visible' && answer.principal !== '' && answer.principal === sealed.principal;

function unrecorded(error: unknown): 'unrecorded' {
  if (error instanceof NotRecorded) return 'unrecorded';
  throw error;
}
