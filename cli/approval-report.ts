// A held call as a person reads it on a terminal, at any hour: what would happen first, then exactly what, who, why.

import { grantText } from '#cli/grant-terms.ts';
import { paint, print, printTable } from '#cli/output.ts';
import { quoted, visible } from '#cli/untrusted.ts';
import { toldAs } from '#contracts/approval.ts';
import type { ApprovalItem, ApprovalPreview } from '#contracts/held.ts';

const MINUTE_MS = 60_000;
const HOUR_MIN = 60;

const RISK_STYLE = { low: 'dim', medium: 'yellow', high: 'red', critical: 'red' } as const;
const STATE_STYLE = { pending: 'yellow', approved: 'green', denied: 'red' } as const;

/** Held calls in one line each, those that wait the shortest time first. */
export function printApprovals(items: readonly ApprovalItem[], now: number): void {
  const rows = items.toSorted((one, other) => one.expires_at - other.expires_at);
  printTable(
    rows.map((item) => [
      item.approval_id,
      item.state === 'pending' ? `${left(item.expires_at, now)} left` : stateOf(item, now),
      item.risk,
      `${votesOf(item).have}/${votesOf(item).need}`,
      visible(item.effect === '' ? `${item.tool} (no words in the policy)` : item.effect),
      `${visible(item.agent)}${item.person === '' ? '' : ` for ${visible(item.person)}`}`,
    ]),
    ['approval', 'state', 'risk', 'yes', 'what would happen', 'asked by'],
  );
}

/** Grants in one line each. */
export function printGrants(items: readonly ApprovalItem[], now: number): void {
  printTable(
    items.map(({ grant, ...item }) => [
      item.approval_id,
      `${left(item.expires_at, now)} left`,
      `${item.used}/${item.uses}`,
      `${visible(item.agent)}: ${visible(item.tool)}`,
      grant === undefined ? '' : grantText(grant),
      item.ended_by,
    ]),
    ['grant', 'holds', 'used', 'for', 'as granted', 'by'],
  );
}

/** Everything about one held call. */
export function printApproval(preview: ApprovalPreview, now: number): void {
  const style = STATE_STYLE[preview.state as keyof typeof STATE_STYLE] ?? 'dim';
  const time = preview.state === 'pending' ? `   ${left(preview.expires_at, now)} left` : '';
  print(
    `${paint(['bold', style], stateOf(preview, now))}   risk ${paint(RISK_STYLE[preview.risk], preview.risk)}${time}   ${preview.approval_id}`,
  );
  print();
  const effect =
    preview.effect === ''
      ? `The policy has no words for it: ${preview.tool} with the arguments below.`
      : preview.effect;
  print(`  ${paint('bold', visible(effect))}`);
  print();
  printRows([
    ['tool', `${visible(preview.tool)}${preview.upstream === '' ? '' : ` at ${preview.upstream}`}`],
    ...argumentRows(preview.arguments),
    ...(preview.edited === undefined ? [] : argumentRows(preview.edited, 'changed to')),
    ...preview.edit_of.map(({ approval_id: id, by }) => ['changed from', `${id}, by ${by}`]),
    ...(preview.grant === undefined ? [] : [['grants', grantText(preview.grant)]]),
    ...whoRows(preview),
    ['held by', heldBecause(preview)],
    ...(preview.purpose === ''
      ? []
      : [['purpose', `${quoted(preview.purpose)}  (said by: ${preview.declared_by}; not proved)`]]),
    ...earlierRows(preview),
    ...peopleRows(preview),
    ...endRows(preview, now),
  ]);
  for (const missing of preview.missing) {
    print(paint('red', `  not shown: ${missing}. It cannot be approved before that is there.`));
  }
}

function printRows(rows: readonly (readonly string[])[]): void {
  printTable(rows.map(([name = '', text = '']) => [`  ${name}`, text]));
}

/** One row for each argument, its exact JSON. */
function argumentRows(text: string, title = 'arguments'): string[][] {
  if (text === '') return [];
  // Canonical JSON of an object, made by the platform.
  const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
  if (entries.length === 0) return [[title, 'none']];
  return entries.map(([name, value], index) => [
    index === 0 ? title : '',
    `${visible(name)} = ${visible(JSON.stringify(value))}`,
  ]);
}

function whoRows({
  agent,
  agent_class: kind,
  person,
  actors,
  workflow,
}: ApprovalPreview): string[][] {
  const chain = actors.length > 1 ? `, through ${actors.slice(1).map(visible).join(', ')}` : '';
  return [
    ['agent', `${visible(agent)}${kind === '' ? '' : ` (${kind})`}${chain}`],
    ['for', person === '' ? 'nobody' : visible(person)],
    ...(workflow === '' ? [] : [['workflow', visible(workflow)]]),
  ];
}

function heldBecause({ held_because: { reason, policy_reason: said, message } }: ApprovalPreview) {
  const why = said === '' ? reason : said;
  return message === '' ? why : `${why}: ${visible(message)}`;
}

function earlierRows({ earlier, session }: ApprovalPreview): string[][] {
  const where = session === '' ? 'by this agent' : 'in this session';
  if (earlier.length === 0) return [['before', `nothing ${where}`]];
  return earlier.map(({ at, tool, verdict, reason }, index) => [
    index === 0 ? 'before' : '',
    `${clock(at)}  ${verdict.padEnd(8)}  ${visible(tool)}  ${reason}`,
  ]);
}

function peopleRows(preview: ApprovalPreview): string[][] {
  const { plan, votes, asked, acknowledged_by: looks, requesters } = preview;
  return [
    [
      'takes',
      plan.stages
        .map(
          ({ name, quorum, approvers }) =>
            `${quorum} of ${approvers.length === 0 ? 'all approvers' : approvers.join(', ')} (${name})`,
        )
        .join(', then '),
    ],
    ...asked.map(({ tier, channels, at }, index) => [
      index === 0 ? 'asked' : '',
      `${clock(at)}  ${tier}${channels.length === 0 ? '' : `: ${channels.join(', ')}`}`,
    ]),
    ...votes.map((vote, index) => [
      index === 0 ? 'yes' : '',
      `${clock(vote.at)}  ${vote.by} (${vote.via})`,
    ]),
    ...(looks === '' ? [] : [['looked at', looks]]),
    ...(requesters.length === 0 ? [] : [['not', `${requesters.join(', ')}: asked for it`]]),
  ];
}

/** What became of it: whoever looks at night wants to know first whether it ran. */
function endRows(preview: ApprovalPreview, now: number): string[][] {
  const { releases, votes, reason, ended_by: by } = preview;
  const isReleased = toldAs(preview, now) === 'used';
  const isSaid = isReleased || preview.state === 'pending' || votes.some((vote) => vote.by === by);
  return [
    ...(isSaid || by === '' ? [] : [['ended by', by]]),
    ...(isReleased || reason === '' ? [] : [['because', visible(reason)]]),
    ...releases.map(({ at, decision_id: id, effect }, index) => [
      index === 0 ? 'released' : '',
      `${clock(at)}  by decision ${id}; its outcome is ${effect === '' ? 'not known yet' : visible(effect)}`,
    ]),
  ];
}

const stateOf = (item: ApprovalItem, now: number): string => toldAs(item, now).replace('_', ' ');

function votesOf({ plan, votes }: ApprovalItem): { readonly have: number; readonly need: number } {
  return { have: votes.length, need: plan.stages.reduce((sum, { quorum }) => sum + quorum, 0) };
}

const clock = (at: number): string => new Date(at).toISOString().slice(11, 19);

function left(until: number, now: number): string {
  const minutes = Math.max(0, Math.ceil((until - now) / MINUTE_MS));
  return minutes < HOUR_MIN
    ? `${minutes} min`
    : `${Math.floor(minutes / HOUR_MIN)} h ${minutes % HOUR_MIN} min`;
}
