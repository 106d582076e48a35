/** What a message says of a held call, before any vendor's form. Words of an agent are quoted, cut and made visible. */
import type { ApprovalEventValue, ApprovalSummary } from '#contracts/approval.ts';
import type { ApprovalEvent } from '#contracts/subjects.ts';

/** Controls, and characters that turn the direction of text or take no place. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;

/** Untrusted text on one line, hidden characters as their code, at most `max` characters. */
export function shown(text: string, max: number): string {
  const visible = text
    .toWellFormed()
    .replace(HIDDEN, (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`);
  return visible.length <= max ? visible : `${visible.slice(0, max - 1).toWellFormed()}…`;
}

/** Untrusted text in quotes. */
export const quoted = (text: string, max: number): string => `“${shown(text, max - 2)}”`;

const ENDS: Readonly<Partial<Record<ApprovalEvent, string>>> = {
  approved: 'Approved',
  denied: 'Declined',
  edited: 'Changed by a person',
  expired: 'Expired: nobody answered in time',
  cancelled: 'Withdrawn',
  superseded: 'Ended: another policy became active',
  no_channel: 'Ended: nobody who may approve it is there, or could be reached',
};

/** True when nothing is left to decide. */
export const isEnd = (event: ApprovalEvent): boolean => event in ENDS;

/** Where it stands, in a few words. */
export function standing(
  event: ApprovalEvent,
  by: string,
  { progress, reason, tier }: ApprovalEventValue,
): string {
  if (event === 'expired' && progress.votes >= progress.needed) return `Approved; ${reason}`;
  const end = ENDS[event];
  if (end !== undefined) return by.startsWith('system:') ? end : `${end} by ${shown(by, 64)}`;
  const votes = `${progress.votes} of ${progress.needed} approvals`;
  if (event === 'acknowledged') return `${shown(by, 64)} looks at it; ${votes}`;
  if (event === 'reminded') return `Still waiting (${shown(tier?.name ?? '', 64)}); ${votes}`;
  return `Waiting for a person; ${votes}`;
}

/** Facts of a call as label and text. The texts are an agent's, but for risk and time. */
export function factsOf(summary: ApprovalSummary): (readonly [label: string, text: string])[] {
  const { tool, upstream, agent, person, risk, expires_at: expiresAt } = summary;
  return [
    ['Tool', quoted(upstream === '' ? tool : `${tool} (${upstream})`, 200)],
    ['Agent', quoted(agent, 200)],
    ...(person === '' ? [] : ([['For', quoted(person, 200)]] as const)),
    ['Risk', risk],
    ['Expires', new Date(expiresAt).toISOString()],
  ];
}

/** Stands in the place of a tool in test messages; no tool has a space in its name. */
export const TEST_TOOL = 'test message';

/** What the message is about, in a few words of our own. */
export const headingOf = ({ tool, risk }: ApprovalSummary): string =>
  tool === TEST_TOOL ? 'Test message' : `Approval needed (${risk} risk)`;

/** One line that names the call. */
export const titleOf = (summary: ApprovalSummary): string =>
  `${headingOf(summary)}: ${shown(summary.tool, 80)}`;

/** Stands at everything that an agent may have written. */
export const UNTRUSTED = 'Quoted text comes from the agent and is not verified.';
