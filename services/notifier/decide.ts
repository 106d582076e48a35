/**
 * From a proved click to approval-escalation: who the person is here, that their button is used once, and that it
 * may decide such a call at all. The one way from this process to a decision.
 */
import { type HeldAsk, type HeldFault, type HeldReply, parseHeldReply } from '#contracts/held.ts';
import { asApprovalId, type TenantId } from '#contracts/ids.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { NotAnswered } from '#host/signed-request.ts';

import { nonceHash } from './buttons.ts';
import type { CallbackParts, Origin } from './callback.ts';
import type { Click } from './clicks.ts';

/** not_mapped: nobody whom we know. taken: its button was used, or is not of the message that stands. not_here: only on the page. */
export type Refusal = HeldFault | 'not_mapped' | 'taken' | 'not_here';

/** Status of the answer, and words for the person. */
export const REFUSALS: Readonly<
  Record<Refusal, { readonly status: number; readonly text: string }>
> = {
  not_mapped: { status: 403, text: 'Nobody has linked you to an operator of Countersign.' },
  taken: { status: 409, text: 'This button was used already, or the message is not current.' },
  not_here: { status: 403, text: 'This call cannot be decided here. Open its page.' },
  not_found: { status: 403, text: 'There is no such call.' },
  ended: { status: 409, text: 'This call does not wait any more.' },
  not_approver: { status: 403, text: 'You may not decide this call.' },
  self: { status: 403, text: 'You asked for this call: another person decides it.' },
  voted: { status: 409, text: 'You gave your vote already.' },
  incomplete: { status: 409, text: 'It cannot be shown in full yet. Try again in a moment.' },
  step_up: { status: 403, text: 'This call needs your second factor. Open its page.' },
  impossible: { status: 409, text: 'This cannot be done with this call.' },
  malformed: { status: 503, text: 'It was not recorded. Try again.' },
  unavailable: { status: 503, text: 'It was not recorded. Try again.' },
};

/** Less than the three seconds that Slack waits for everything. */
const TIMEOUT_MS = 1_000;

/** Undefined once it is recorded. */
export async function decide(
  parts: CallbackParts,
  origin: Origin,
  click: Click,
): Promise<Refusal | undefined> {
  const { people = {} } = origin.channel;
  const operator = Object.hasOwn(people, click.person) ? people[click.person] : undefined;
  if (operator === undefined) return 'not_mapped';
  if (click.step === 'acknowledge') {
    return (await wasAsked(parts, origin, click))
      ? decideAs(parts, origin.tenant, { click, operator, via: origin.via, shown: '' })
      : 'not_found';
  }
  if (!(await takeButton(parts, origin, click))) return 'taken';
  const refusal = await decideHere(parts, origin, click, operator);
  if (refusal !== undefined && refusal !== 'ended') await giveBack(parts, origin, click);
  return refusal;
}

async function decideHere(
  parts: CallbackParts,
  { tenant, via }: Origin,
  click: Click,
  operator: string,
): Promise<Refusal | undefined> {
  const show = { ask: 'show', approval: asApprovalId(click.approval) } as const;
  const preview = await ask<'show'>(parts, tenant, show);
  if (!preview.ok) return preview.fault;
  // The button was only made for such a call; here it is asked of the call itself.
  if (preview.value.risk !== 'low' || preview.value.effect === '') return 'not_here';
  return decideAs(parts, tenant, { click, operator, via, shown: preview.value.shown });
}

async function decideAs(
  parts: CallbackParts,
  tenant: TenantId,
  by: {
    readonly click: Click;
    readonly operator: string;
    readonly via: Origin['via'];
    readonly shown: string;
  },
): Promise<Refusal | undefined> {
  const { click, operator, via, shown } = by;
  const reply = await ask<'decide'>(parts, tenant, {
    ask: 'decide',
    approval: asApprovalId(click.approval),
    step: click.step,
    // A chat account is no second factor.
    by: { id: operator, stepped_up_at: 0 },
    via,
    shown: click.step === 'approve' ? shown : '',
    reason: click.step === 'deny' ? click.reason : '',
  });
  return reply.ok ? undefined : reply.fault;
}

type Asks = 'show' | 'decide';

async function ask<Name extends Asks>(
  { request, now }: CallbackParts,
  tenant: TenantId,
  what: Omit<Extract<HeldAsk, { ask: Name }>, 'v' | 'at'>,
): Promise<HeldReply<Name>> {
  const body = JSON.stringify({ v: 1, at: now(), ...what });
  try {
    const options = { timeoutMs: TIMEOUT_MS };
    return parseHeldReply<Name>(await request(SUBJECTS.held(tenant), body, options));
  } catch (error) {
    if (!(error instanceof NotAnswered)) throw error;
    return { ok: false, fault: 'unavailable', detail: '' };
  }
}

const keyOf = ({ tenant, channel }: Origin, { approval }: Click) => [
  tenant,
  approval,
  channel.name,
];

async function wasAsked({ pool }: CallbackParts, origin: Origin, click: Click): Promise<boolean> {
  const { rowCount } = await pool.query(
    'select from notices where tenant = $1 and approval = $2 and channel = $3 limit 1',
    keyOf(origin, click),
  );
  return rowCount === 1;
}

/** Takes the button of the message that stands: of two clicks at once one has it. */
async function takeButton({ pool }: CallbackParts, origin: Origin, click: Click): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update notice_messages set nonce_used = true
     where tenant = $1 and approval = $2 and channel = $3 and nonce_hash = $4 and not nonce_used
       and ($5::text is null or message = $5)`,
    [...keyOf(origin, click), nonceHash(click.nonce), click.message ?? null],
  );
  return rowCount === 1;
}

/** Nothing was decided with it. */
async function giveBack({ pool }: CallbackParts, origin: Origin, click: Click): Promise<void> {
  await pool.query(
    `update notice_messages set nonce_used = false
     where tenant = $1 and approval = $2 and channel = $3 and nonce_hash = $4`,
    [...keyOf(origin, click), nonceHash(click.nonce)],
  );
}
