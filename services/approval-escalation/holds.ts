/**
 * Takes held decisions, and uses of approvals, from DECISIONS. At least once and in any company: every hold is taken
 * once, every use counted once. What cannot be read is told and left to the chain, which raises the alert.
 */
import { type ApprovalRoute, type ApprovalRoutes, planFor } from '#contracts/approval-route.ts';
import type { Plan } from '#contracts/approval.ts';
import { CONTROL_KEYS, type Operator } from '#contracts/control.ts';
import { parseRevision, type Revision, type TenantId } from '#contracts/ids.ts';
import { checkMac, type MacKeys } from '#contracts/mac.ts';
import { decodeRecords, type RecordLines } from '#contracts/record.ts';
import { readUseSubject } from '#contracts/subjects.ts';
import type { Delivered, Handled } from '#host/consume.ts';
import type { ControlView } from '#host/control-view.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';

import { editsOf, requesterOf } from './edit.ts';
import { eventOf } from './event.ts';
import { type Hold, readHold, readLeaf } from './hold.ts';
import { eligible, type Requester } from './may-decide.ts';
import { heldCall, SYSTEM } from './reduce.ts';
import { type StepParts, take, tellOrLater } from './steps.ts';
import { type Row, takeHold } from './store.ts';

export interface HoldParts extends StepParts {
  readonly keys: MacKeys;
  readonly key: Uint8Array;
  readonly view: ControlView;
  readonly operators: ReadonlyMap<string, Operator>;
  readonly database: DatabaseWatch;
  /** Ends what the view says is over: its policy, or a switch that stops it. */
  readonly reconsider: (tenant: TenantId, id: string) => Promise<void>;
}

const RETRY_MS = 1_000;
const DATABASE_WAIT_MS = 5_000;
/** How long the view may lag behind the worker that held a call. */
const REVISION_WAIT_MS = 2_000;

/** Calls of one batch at once; each is a transaction. */
const AT_ONCE = 8;

export function holdTaker(parts: HoldParts): (batch: readonly Delivered[]) => Promise<Handled> {
  return async (batch) => {
    if (!(await parts.database.waitUsable(DATABASE_WAIT_MS))) return { retryInMs: RETRY_MS };
    try {
      for (let from = 0; from < batch.length; from += AT_ONCE) {
        await Promise.all(batch.slice(from, from + AT_ONCE).map((one) => takeMessage(parts, one)));
      }
      return 'done';
    } catch (error) {
      parts.log.warn({ err: error }, 'holds are not taken yet');
      return { retryInMs: RETRY_MS };
    }
  };
}

/** untrusted: everything in a message until its MAC proves the worker. */
async function takeMessage(
  parts: HoldParts,
  { subject, body, mac, sequence }: Delivered,
): Promise<void> {
  const signed = checkMac(parts.keys, { subject, body, header: mac });
  const lines = 'fault' in signed ? signed.fault : onlyRecord(body);
  const fault =
    typeof lines === 'string'
      ? lines
      : await takeRecord(parts, subject, lines).catch(refusedByDatabase);
  if (fault !== '') parts.log.error({ sequence, fault }, 'a held decision cannot be read');
}

function takeRecord(parts: HoldParts, subject: string, lines: RecordLines): Promise<string> {
  const use = readUseSubject(subject);
  return use === undefined ? store(parts, lines) : countUse(parts, use, lines);
}

/** Data that the database will never take is told and left, so that it keeps no other call waiting. */
function refusedByDatabase(error: unknown): string {
  const { code = '' } = error as { code?: string };
  if (!/^(22|54)...$/.test(code)) throw error;
  return `the database refuses it: ${code}`;
}

function onlyRecord(body: Uint8Array): RecordLines | string {
  try {
    const [record, ...rest] = decodeRecords(Buffer.from(body).toString('utf8'));
    return record !== undefined && rest.length === 0 ? record : 'not one record';
  } catch {
    return 'not lines of leaf and payload';
  }
}

async function store(parts: HoldParts, lines: RecordLines): Promise<string> {
  const hold = readHold(lines, parts.key);
  if (typeof hold === 'string') return hold;
  const { view, operators, now } = parts;
  // The same knowledge as the worker's, or later: else a policy that we have not seen yet would look like an old one.
  if (!(await reached(view, hold.facts.factsRevision))) throw new Error('the view is behind');
  const edits = await editsOf(parts.pool, { ...hold, progress: { summary: hold.summary } });
  const requester = requesterOf(hold, edits);
  const { plan, stranded } = planOf(hold, { view, operators, requester });
  const approval = heldCall(hold.summary, plan, edits);
  const place = { tenant: hold.tenant, id: hold.id };
  const happened = { event: 'held', actor: SYSTEM } as const;
  const event = eventOf(approval, { ...place, decisionId: hold.facts.decisionId }, happened, now());
  const taken = await takeHold(parts, hold, { approval, event });
  await parts.afterCommit?.();
  // A crash may have come between storing and this: every step here may come again.
  if (stranded) {
    const other = async (row: Row) => (row.id === hold.id ? undefined : 'attached');
    await take(parts, place, { is: 'strand' }, other);
  }
  const looked = await take(parts, place, { is: 'look' });
  const told = looked !== undefined && 'became' in looked && looked.became === 'changed';
  if (!told) await tellOrLater(parts, place);
  if (taken !== 'known') await parts.reconsider(hold.tenant, hold.id);
  return '';
}

async function reached(view: ControlView, revision: string): Promise<boolean> {
  if (parseRevision(revision) === undefined) return true;
  return view.waitFor(revision as Revision, REVISION_WAIT_MS); // its form was checked just above
}

const NOBODY: ApprovalRoute = { name: 'none' };

function planOf(
  { tenant, summary, asked, arguments: args }: Hold,
  {
    view,
    operators,
    requester,
  }: Pick<HoldParts, 'view' | 'operators'> & { readonly requester: Requester },
): { readonly plan: Plan; readonly stranded: boolean } {
  const routes =
    view.get<ApprovalRoutes>(CONTROL_KEYS.routes(tenant))?.value?.routes ?? ([] as const);
  const call = { tool: summary.tool, arguments: args, asked };
  const plan = planFor(routes, call);
  if (plan === undefined) {
    const { route: _, ...unrouted } = asked;
    const nobody = planFor([], { ...call, asked: unrouted });
    if (nobody === undefined) throw new Error('without routes there is always a plan');
    return { plan: { ...nobody, route: asked.route ?? NOBODY.name }, stranded: true };
  }
  const of = { tenant, requester };
  const stranded = plan.stages.some((stage) => eligible(operators, stage, of) < stage.quorum);
  return { plan, stranded };
}

async function countUse(
  parts: HoldParts,
  { tenant, approval, k }: NonNullable<ReturnType<typeof readUseSubject>>,
  lines: RecordLines,
): Promise<string> {
  const leaf = readLeaf(lines.leaf);
  if (leaf === undefined || leaf.tenant !== tenant || leaf.resumes !== approval) return 'not a use';
  const use = { is: 'use', k, decisionId: leaf.id } as const;
  const took = await take(parts, { tenant: leaf.tenant, id: approval }, use);
  // The hold comes before its use in the stream, so it is there; an approval of another database is not ours.
  return took === undefined ? 'a use of an approval that is not known' : '';
}
