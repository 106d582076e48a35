/**
 * A recorded decision in plain words, for whoever is woken by it. Says what the record says and nothing else; names of
 * arguments and facts, never their values, so that it can be shown to everybody who may see that the decision exists.
 */
import type { AuditRow, Explanation } from '#contracts/audit-api.ts';
import type { CheckEvidence, DecisionEvidence, DecisionLeaf } from '#contracts/decision.ts';
import type { Json } from '#contracts/json.ts';
import { endOf, outcomeThatCounts, type OutcomeStatus } from '#contracts/outcome.ts';
import { parsePayload } from '#contracts/payload.ts';
import { isReason, reasonSpec } from '#contracts/reasons.ts';
import { MASKED_TEXT } from '#contracts/redaction.ts';

import type { ExplainContext } from './explain-context.ts';
import {
  changeText,
  clock,
  doneBy,
  memberOf,
  namesIn,
  isObject,
  stopText,
  textOf,
} from './explain-text.ts';

const CHECKS = ['identity', 'capability', 'intent', 'policy', 'budget'] as const;

/** What is to be explained. `evidence` and `input` are undefined once the payload is erased. */
interface Subject extends ExplainContext {
  readonly row: AuditRow;
  readonly leaf: DecisionLeaf;
  readonly evidence: Partial<DecisionEvidence> | undefined;
  readonly input: Input | undefined;
}

/** The policy input, as far as it is told here. */
interface Input {
  readonly call?: { readonly arguments?: Json; readonly schema?: string };
  readonly capability?: { readonly issued_at?: number; readonly expires_at?: number };
  readonly facts?: Readonly<Record<string, Json>>;
  readonly intent?: { readonly purpose?: string; readonly declared_by?: string };
  readonly principal?: { readonly actors?: readonly string[] };
}

/** The words of the worker for the operator; '' where there are none or the payload is erased. */
export const detailOf = (payload: string | null): string =>
  memberOf(payload === null ? undefined : parsePayload(payload)?.sections['evidence'], 'detail');

/** @param sections of its payload as they may be shown; undefined where it is erased */
export function explain(
  row: AuditRow,
  sections: Readonly<Record<string, Json>> | undefined,
  context: ExplainContext,
): Explanation {
  const subject: Subject = {
    ...context,
    row,
    leaf: row.leaf as unknown as DecisionLeaf, // a decision's, by its kind
    evidence: sections?.['evidence'] as Partial<DecisionEvidence> | undefined,
    input: sections?.['input'] as Input | undefined,
  };
  const told: readonly (readonly [string, readonly string[]])[] = [
    ['who', who(subject)],
    ['what', what(subject)],
    ['checks', checks(subject)],
    ['facts', facts(subject)],
    ['policy', policy(subject)],
    ['mode', mode(subject)],
    ['budget', budget(subject)],
    ['approval', approval(subject)],
    ['afterwards', afterwards(subject)],
    ['what helps', help(subject)],
    ['recorded', recorded(subject)],
  ];
  return {
    decision_id: subject.leaf.id,
    verdict: subject.leaf.verdict,
    reason: subject.leaf.reason,
    headline: headline(subject),
    sections: told
      .filter(([, lines]) => lines.length > 0)
      .map(([title, lines]) => ({ title, lines: [...lines] })),
  };
}

function headline(subject: Subject): string {
  const { leaf, stopped } = subject;
  const {
    agent,
    tool,
    upstream,
    reason,
    verdict,
    verdict_before_mode: before,
    policy_reason: code,
  } = leaf;
  const call = `${agent === '' ? 'an unknown agent' : agent} -> ${tool}${upstream === '' ? '' : ` on ${upstream}`}`;
  const words = isReason(reason) ? reasonSpec(reason).text : reason;
  const why = `${reason}${code === '' ? '' : `, ${code}`}`;
  if (verdict === 'block') {
    return `BLOCKED  ${call}. ${words} (${why})${stopped === undefined ? '' : ` ${stopText(stopped)}`}`;
  }
  if (verdict === 'escalate') return `HELD  ${call}. ${stateOf(subject)} (${why})`;
  if (before !== 'allow') {
    return `ALLOWED, though it did not pass  ${call}. Without ${lifter(subject)} it would have been ${before === 'block' ? 'blocked' : 'held'}: ${words} (${why})`;
  }
  const yes = approvers(subject);
  return reason === 'policy.approved'
    ? `ALLOWED  ${call}. ${yes === '' ? 'People' : yes} approved exactly this call. (${why})`
    : `ALLOWED  ${call}. Every check passed. (${why})`;
}

function who({ leaf, evidence, input, minted }: Subject): string[] {
  const { agent, person, capability } = leaf;
  const actors = input?.principal?.actors ?? [];
  const issuer = evidence?.identity?.issuer ?? '';
  const purpose = input?.intent?.purpose ?? '';
  const place = [
    ['class', leaf.agent_class],
    ['workflow', leaf.workflow],
    ['session', leaf.session],
    ['task', leaf.task],
  ] as const;
  const lines = [
    [
      agent === '' ? 'no known agent' : `agent ${agent}`,
      ...place.map(([name, value]) => (value === '' ? '' : `${name} ${value}`)),
    ],
    [
      person === '' ? 'acts for nobody' : `acts for person ${person}`,
      issuer === '' ? '' : `both named by the issuer ${issuer}`,
    ],
    [actors.length > 1 ? `delegated along ${actors.toReversed().join(' -> ')}` : ''],
    [capabilityText(capability, input), minted === undefined ? '' : `minted by ${doneBy(minted)}`],
    [purpose === '' ? '' : `declared purpose ${quoted(purpose, 200)}`],
  ];
  return lines
    .map((parts) => parts.filter((part) => part !== '').join(', '))
    .filter((line) => line !== '');
}

function capabilityText(
  { id, kind, root }: DecisionLeaf['capability'],
  input: Input | undefined,
): string {
  if (kind === 'none') return 'no capability was accepted';
  if (kind === 'standing') return "by the agent's standing grant";
  const { expires_at: expires = 0 } = input?.capability ?? {};
  const narrowed = root === '' || root === id ? '' : `, narrowed from ${root}`;
  const until = expires === 0 ? '' : `, good until ${clock(expires * 1_000)}`;
  return `by capability ${id}${narrowed}${kind === 'compat' ? ' (an imported key)' : ''}${until}`;
}

function what({ leaf, input }: Subject): string[] {
  const { tool, upstream, ask, forwards, via } = leaf;
  const { arguments: args, schema } = input?.call ?? {};
  const names =
    args === undefined
      ? 'its payload is erased'
      : `arguments ${namesIn(args)}${schema === 'none' ? ', no schema registered' : ''}`;
  const how = forwards ? 'to be forwarded by us' : 'the caller runs it itself';
  return [
    `${tool}${upstream === '' ? '' : ` of ${upstream}`}: ${names}`,
    `asked by ${via}${ask === 'decide' ? '' : ` (${ask})`}; ${how}`,
  ];
}

function checks({ leaf, evidence }: Subject): string[] {
  const { reason } = leaf;
  const steps: readonly CheckEvidence[] = evidence?.checks ?? [];
  const deciding = isReason(reason) ? reasonSpec(reason).check : '';
  const lines = CHECKS.map((name) => {
    const step = steps.find(({ check }) => check === name);
    const said =
      step === undefined
        ? steps.length === 0
          ? 'not in the record'
          : 'not asked any more'
        : step.ok
          ? 'passed'
          : `did not pass: ${step.reason}`;
    return `${name.padEnd(10)}  ${said}${name === deciding && leaf.verdict !== 'allow' ? '   <- decided' : ''}`;
  });
  const { detail = '' } = evidence ?? {};
  return detail === '' ? lines : [...lines, `the worker adds: ${detail}`];
}

function facts({ leaf, input, factsAsOf }: Subject): string[] {
  const names = Object.entries(input?.facts ?? {}).map(
    ([name, value]) => `${name}${isObject(value) ? ` ${namesIn(value)}` : ''}`,
  );
  const revision = leaf.facts_revision;
  if (revision === '') return [];
  const change = factsAsOf === undefined ? '' : `: everything up to "${changeText(factsAsOf)}"`;
  return [
    names.length === 0
      ? 'the policy looked at no facts'
      : `the policy looked at ${names.join(', ')}`,
    `at revision ${revision}${change}`,
  ];
}

function policy({ leaf, evidence, activated }: Subject): string[] {
  const { policies, policy_revision: revision, policy_reason: code } = leaf;
  const lines = policies.map(({ role, digest }) => {
    const verdict = memberOf(evidence?.output?.[role], 'verdict');
    const said =
      verdict === ''
        ? 'was not run'
        : `said ${verdict}${role === 'tenant' && code !== '' ? ` (${code})` : ''}`;
    return `${role.padEnd(6)}  ${digest.slice(0, 19)}  ${evidence === undefined ? '' : said}`.trimEnd();
  });
  if (revision !== '') {
    const by = activated === undefined ? '' : `, ${changeText(activated)}`;
    lines.push(`revision ${revision}${by}`);
  }
  const { message = '' } = evidence ?? {};
  return message === '' ? lines : [...lines, `it told the agent: ${quoted(message, 300)}`];
}

const quoted = (text: string, most: number): string =>
  text === MASKED_TEXT
    ? '(masked here; `audit show --plain` has it)'
    : JSON.stringify(text.slice(0, most));

function mode(subject: Subject): string[] {
  const { leaf, evidence, modeSet, exception } = subject;
  const by = modeSet === undefined ? '' : `, set by ${doneBy(modeSet)}`;
  const name = leaf.agent_class === '' ? '' : ` for class ${leaf.agent_class}`;
  const lifted = evidence?.lifted ?? [];
  const lines = [`${leaf.mode}${name}${by}`];
  if (leaf.verdict === leaf.verdict_before_mode && lifted.length === 0)
    lines.push('changed nothing');
  for (const { reason, by: what } of lifted)
    lines.push(`${reason} did not stand: lifted by ${what.replace('exception:', 'exception ')}`);
  if (exception !== undefined) lines.push(`exception made by ${doneBy(exception)}`);
  return lines;
}

function budget({ leaf }: Subject): string[] {
  return leaf.budget.map(({ scope, window, unit, limit, used, resets_at: resets }) => {
    const scale = unit === undefined ? 1 : 1_000_000;
    return `${scope} per ${window}: ${used / scale} of ${limit / scale} ${unit ?? 'calls'}, new at ${clock(resets)}`;
  });
}

function approval({ leaf, approval: rows }: Subject): string[] {
  const id = leaf.approval_id === '' ? leaf.resumes : leaf.approval_id;
  if (id === '') return [];
  const lines = rows
    .filter((row) => row.decision_id !== leaf.id || row.kind !== 'decision')
    .map((row) => {
      const text = textOf(row);
      if (row.kind === 'decision')
        return `${clock(row.at)}  ${row.verdict} of decision ${row.decision_id} (${text('reason')})`;
      const via = text('via');
      return `${clock(row.at)}  ${row.kind.slice('approval.'.length)} by ${text('by')}${via === 'system' || via === 'agent' ? '' : ` via ${via}`}`;
    });
  const used = leaf.grant === undefined ? `this call used ${id}` : `this call used grant ${id}`;
  return [leaf.resumes === '' ? `${id} was opened for this call` : used, ...lines];
}

function afterwards(subject: Subject): string[] {
  const { leaf, about } = subject;
  if (leaf.verdict === 'block') return ['the call was refused; nothing ran'];
  if (leaf.verdict === 'escalate') return [`nothing ran by this decision. ${stateOf(subject)}`];
  const outcomes = about.filter(({ kind }) => kind === 'outcome');
  const outcome = outcomeThatCounts(outcomes, ({ leaf: said }) => said['reported_by']);
  const status = outcome?.leaf['status'] as OutcomeStatus | undefined;
  const end = endOf(leaf, status);
  if (outcome === undefined) {
    return [
      end === 'delivered'
        ? 'the answer was delivered; whoever asked runs the call itself and has reported nothing'
        : 'it was to be forwarded and has no outcome yet: within five minutes one is recorded, if only `unknown`',
    ];
  }
  const after = Date.parse(outcome.at) - leaf.at;
  return [
    `${OUTCOME_WORDS[end === '' ? 'unknown' : end]} (${end}), ${after} ms later, reported by ${textOf(outcome)('reported_by')}`,
  ];
}

const OUTCOME_WORDS: Readonly<Record<OutcomeStatus, string>> = {
  executed: 'the tool ran',
  failed: 'the tool ran and failed',
  refused_late: 'it was refused after all before it was sent; nothing ran',
  unknown: 'nobody knows whether it ran',
  aborted: 'a kill switch cut it off on its way; nobody knows whether it ran',
  delivered: 'the answer was delivered',
};

/** Commands that show more, by the check that decided. */
const LOOK: Readonly<Record<string, string>> = {
  identity: './countersign issuer list, ./countersign agent list',
  capability: './countersign mint --help (a capability that covers the call)',
  policy: './countersign replay ID (the same policy on the same input), ./countersign policy show',
  budget: './countersign budget show',
};

function help(subject: Subject): string[] {
  const { leaf, stopped } = subject;
  const { reason, verdict } = leaf;
  if (!isReason(reason)) return [];
  const spec = reasonSpec(reason);
  const id = leaf.approval_id;
  if (verdict === 'escalate') {
    const waits = stateIn(subject) === 'pending' ? [spec.help] : [];
    return [...waits, ...(id === '' ? [] : [`./countersign approvals show ${id}`])];
  }
  if (verdict === 'allow') {
    return leaf.verdict_before_mode === 'allow'
      ? []
      : [
          `in mode enforce the same call is refused; ./countersign mode status ${leaf.agent_class} shows how many`,
        ];
  }
  const look =
    stopped === undefined
      ? LOOK[spec.check]
      : './countersign switches (what is stopped); two persons release it: ./countersign release --help';
  return [
    ...(spec.help === '' ? [] : [spec.help]),
    ...(look === undefined ? [] : [look.replace('ID', leaf.id)]),
  ];
}

function recorded({ row, leaf }: Subject): string[] {
  const survives =
    leaf.durability === 'power-cut'
      ? 'synced to disk before the answer'
      : `durability ${leaf.durability}`;
  return [
    `row ${row.sequence} of ${leaf.tenant}, ${row.hash}`,
    `${clock(leaf.at)}, worker ${leaf.worker}, ${survives}`,
    ...(row.index_differs === true
      ? ['WARNING: the index beside this row differs from it: run ./countersign audit verify']
      : []),
  ];
}

/** Its last state; a hold whose first step is not chained yet is pending. */
function stateIn({ approval: rows }: Subject): string {
  const last = rows.findLast(({ kind }) => kind.startsWith('approval.'));
  return last === undefined ? 'pending' : textOf(last)('state');
}

function stepBy({ approval: rows }: Subject, step: string): string {
  const row = rows.findLast(({ kind }) => kind === `approval.${step}`);
  return row === undefined ? 'Somebody' : textOf(row)('by');
}

/** What a held call has come to. */
function stateOf(subject: Subject): string {
  const { approval: rows } = subject;
  const used = rows.findLast(
    (row) => row.kind === 'decision' && textOf(row)('resumes') !== '' && row.verdict === 'allow',
  );
  if (used !== undefined)
    return `${approvers(subject)} approved it; released by decision ${used.decision_id}.`;
  const state = stateIn(subject);
  switch (state) {
    case 'pending':
      return 'It waits for a person.';
    case 'approved':
      return `${approvers(subject)} approved it; it runs when its agent sends it again.`;
    case 'denied':
      return `${stepBy(subject, 'denied')} said no.`;
    case 'edited':
      return `${stepBy(subject, 'edited')} changed its arguments; its agent may send the changed call.`;
    case 'expired':
      return 'Nobody answered in time, which is not a no.';
    case 'superseded':
      return 'Another policy was activated while it waited; a repeat is judged anew.';
    case 'no_channel':
      return 'Nobody who may approve it was there, or could be reached.';
    default:
      return `It ended: ${state}.`;
  }
}

/** Who said yes, in order. */
function approvers({ approval: rows }: Subject): string {
  const yes = rows.filter(
    ({ kind }) =>
      kind === 'approval.voted' || kind === 'approval.approved' || kind === 'approval.granted',
  );
  return [...new Set(yes.map((row) => textOf(row)('by')))].join(' and ');
}

function lifter({ leaf, evidence }: Subject): string {
  const by = evidence?.lifted?.[0]?.by ?? '';
  if (by.startsWith('exception:')) return `exception ${by.slice('exception:'.length)}`;
  return `mode ${by === '' ? leaf.mode : by}`;
}
