/**
 * One held call as a person reads it before deciding: what would happen, then exactly what, why, who, what came before,
 * who else was asked, and last the decision.
 */
import { toldAs } from '#contracts/approval.ts';
import type { ApprovalPreview } from '#contracts/held.ts';
import { foreign, html, type Html, marked, NOTHING } from '#host/html.ts';

import { argumentsView } from './arguments-view.ts';
import { clock, countdown, riskChip, shortClock, stateChip, STATES } from './words.ts';

/** Names of operators by id, where they are registered. */
export type Names = (id: string) => string;

export interface ApprovalView {
  readonly preview: ApprovalPreview;
  readonly names: Names;
  /** Ids of those who could say yes in a stage that names nobody. */
  readonly approvers: readonly string[];
  /** What the person can do here. */
  readonly decision: Html;
  readonly at: number;
}

export function approvalView(view: ApprovalView): Html {
  const { preview, at } = view;
  const call = toldAs(preview, at) === 'pending' ? 'What would run' : 'The call';
  return html`${head(view)} ${outcome(view)} ${section(call, argumentsOf(preview))}
  ${changesOf(view)} ${section('Why it is held', whyOf(preview))}
  ${section('Who asks', whoOf(preview))}
  ${section(preview.session === '' ? 'What this agent did before' : 'What happened before in this session', earlierOf(view))}
  ${section('Who was asked', askedOf(view))} ${view.decision}
  ${section('For the record', recordOf(preview))}`;
}

const section = (title: string, body: Html): Html =>
  html`<section class="sheet">
    <h2>${title}</h2>
    ${body}
  </section>`;

function head({ preview, at }: ApprovalView): Html {
  const { effect, tool, upstream, uses } = preview;
  const state = toldAs(preview, at);
  const time = state === 'pending' ? countdown(preview.expires_at, at) : NOTHING;
  const title =
    effect === '' ? html`Run ${foreign(tool)} with the arguments below` : foreign(effect);
  const words =
    effect === '' ? html`<p class="soft">The policy has no words for what it does.</p>` : NOTHING;
  return html`<section class="sheet">
    <p class="facts">${stateChip(state)} ${riskChip(preview)} ${time}</p>
    <h1>${title}</h1>
    ${words}
    <p class="soft">
      <code>${foreign(tool)}</code>${upstream === '' ? '' : html` at ${foreign(upstream)}`} · runs
      ${uses === 1 ? 'once' : `at most ${uses} times`} ·
      ${state === 'pending' ? html`waits until ${clock(preview.expires_at)}` : html`held ${clock(preview.held_at)}`}
    </p>
  </section>`;
}

/** What became of it: who ended it, whether it was released. */
function outcome({ preview, names, at }: ApprovalView): Html {
  const state = toldAs(preview, at);
  const { votes, releases, reason, ended_by: by } = preview;
  if (state === 'pending') return NOTHING;
  const { title, look, text } = STATES[state];
  const voted = votes.map(
    (vote) => html`<p>${names(vote.by)} said yes at ${clock(vote.at)} (${vote.via}).</p>`,
  );
  const ended =
    state === 'used' || by === '' || votes.some((vote) => vote.by === by)
      ? NOTHING
      : html`<p>By ${names(by)}.</p>`;
  const said =
    reason === '' || state === 'used' ? NOTHING : html`<p>Said: <q>${foreign(reason)}</q></p>`;
  const released = releases.map(
    (release) =>
      html`<p>
        Released at ${clock(release.at)} by decision <code>${release.decision_id}</code>; its
        outcome is ${release.effect === '' ? 'not known yet' : release.effect}.
      </p>`,
  );
  return html`<section class="notice ${look}" role="status">
    <p><strong>${title}.</strong> ${text}</p>
    ${voted}${ended}${said}${released}
  </section>`;
}

function argumentsOf(preview: ApprovalPreview): Html {
  if (preview.arguments === '') {
    return html`<p class="notice bad">
      The call cannot be shown: its record is not what it was. It can be declined.
    </p>`;
  }
  return html`${argumentsView(preview.arguments)}`;
}

/** What a person put in its place, what it was made of, and repeats that go with a yes to it. */
function changesOf({ preview, names }: ApprovalView): Html {
  const { edited, edit_of: made, grant } = preview;
  const parts = [
    ...(edited === undefined
      ? []
      : [section('What a person put in its place', argumentsView(edited))]),
    ...(made.length === 0
      ? []
      : [
          section(
            'Changed by a person',
            html`${made.map(({ by, at }) => html`<p>${names(by)} put these arguments in the place of the agent's at ${clock(at)}, and counts as who asks.</p>`)}`,
          ),
        ]),
    ...(grant === undefined ? [] : [section('Repeats without a question', grantOf(grant))]),
  ];
  return html`${parts}`;
}

function grantOf({
  uses,
  for_s: seconds,
  bounds,
  of,
}: NonNullable<ApprovalPreview['grant']>): Html {
  const rows = bounds.map(({ path, ...bound }) =>
    row(path, html`<code>${marked(JSON.stringify(bound))}</code>`),
  );
  return html`<p>
      Whoever approves also grants ${uses} more ${uses === 1 ? 'call' : 'calls'} like it to the same
      agent, for ${Math.ceil(seconds / 60)} minutes. Nobody is asked about them.
    </p>
    <dl>
      ${bounds.length === 0 ? row('May differ', html`nothing`) : rows}${row('Given with', html`<code>${of}</code>`)}
    </dl>`;
}

function whyOf({ held_because: because, labels, plan }: ApprovalPreview): Html {
  const { reason, policy_reason: rule, message } = because;
  return html`${message === '' ? NOTHING : html`<p>${foreign(message)}</p>`}
    <dl>
      ${row('Rule', rule === '' ? html`<span class="soft">not named</span>` : html`<code>${foreign(rule)}</code>`)}
      ${row('Reason', html`<code>${reason}</code>`)}
      ${row('Data classes', labels.length === 0 ? html`<span class="soft">none named</span>` : chips(labels))}
      ${row('Route', foreign(plan.route))}
    </dl>`;
}

const chips = (labels: readonly string[]): Html =>
  html`${labels.map((label) => html`<span class="chip">${marked(label)}</span> `)}`;

const row = (name: string, value: Html): Html =>
  html`<dt>${name}</dt>
    <dd>${value}</dd> `;

function whoOf(preview: ApprovalPreview): Html {
  const { agent, agent_class: kind, person, actors, workflow, session, task } = preview;
  const through = actors.slice(1).map((actor) => html` → ${foreign(actor)}`);
  const optional = (name: string, text: string): Html =>
    text === '' ? NOTHING : row(name, foreign(text));
  return html`<dl>
      ${row('Agent', html`${foreign(agent)}${kind === '' ? '' : html` <span class="soft">(${foreign(kind)})</span>`}`)}
      ${row('For', person === '' ? html`<span class="soft">nobody</span>` : foreign(person))}
      ${through.length === 0 ? NOTHING : row('Through', html`${foreign(actors[0] ?? '')}${through}`)}
      ${optional('Workflow', workflow)} ${optional('Session', session)} ${optional('Task', task)}
    </dl>
    ${purposeOf(preview)}`;
}

const QUOTE_CHARS = 400;

/** Words that somebody wrote to be believed: quoted, cut, and said to be what they are. */
function purposeOf({ purpose, declared_by: by }: ApprovalPreview): Html {
  if (purpose === '') return NOTHING;
  const cut = purpose.slice(0, QUOTE_CHARS);
  const rest =
    purpose.length <= QUOTE_CHARS
      ? NOTHING
      : html`<details>
          <summary>All ${purpose.length} characters</summary>
          <blockquote>${foreign(purpose)}</blockquote>
        </details>`;
  return html`<p class="soft small">
      <strong>Untrusted:</strong> the purpose as the ${by === 'agent' ? 'agent itself' : by} states
      it. Nobody has proved it.
    </p>
    <blockquote>“${foreign(cut)}${purpose.length > QUOTE_CHARS ? '…' : ''}”</blockquote>
    ${rest}`;
}

const VERDICT_LOOKS: Readonly<Record<string, string>> = {
  allow: 'good',
  block: 'bad',
  escalate: 'wait',
};

/** So many earlier calls are seen at once; the others unfold. */
const EARLIER_OPEN = 6;

function earlierOf({ preview: { earlier, missing }, at: now }: ApprovalView): Html {
  if (earlier.length === 0) {
    return missing.length > 0
      ? html`<p class="soft">Not known yet.</p>`
      : html`<p class="soft">Nothing.</p>`;
  }
  const lines = earlier.map(
    ({ at, tool, verdict, reason, labels }) =>
      html`<li>
        <span class="chip ${VERDICT_LOOKS[verdict] ?? ''}">${verdict}</span>
        <code>${foreign(tool)}</code>
        <span class="soft small"><code>${reason}</code> ${chips(labels)}</span
        ><span class="soft small end">${shortClock(at, now)}</span>
      </li> `,
  );
  const more = lines.slice(EARLIER_OPEN);
  return html`<ol class="lines">
      ${lines.slice(0, EARLIER_OPEN)}
    </ol>
    ${
      more.length === 0
        ? NOTHING
        : html`<details>
            <summary>${more.length} more</summary>
            <ol class="lines">
              ${more}
            </ol>
          </details>`
    }
    <p class="soft small">From the audit chain, newest first, at most 20.</p>`;
}

function askedOf({ preview, names, approvers, at: now }: ApprovalView): Html {
  const { plan, votes, asked, acknowledged_by: looks, requesters } = preview;
  const stages = plan.stages.map(({ name, quorum, approvers: named }, index) => {
    const who = (named.length === 0 ? approvers : named).filter((id) => !requesters.includes(id));
    const yes = votes.filter((vote) => vote.stage === index);
    return html`<li>
      <strong>${name}</strong>
      <span>${quorum} of ${who.length === 0 ? 'nobody' : who.map(names).join(', ')}</span>
      <span class="soft small end"
        >${yes.length === 0 ? (toldAs(preview, now) === 'pending' ? 'no yes so far' : '') : `yes: ${yes.map((vote) => names(vote.by)).join(', ')}`}</span
      >
    </li> `;
  });
  const told = asked.map(
    ({ tier, channels, at }) =>
      html`<li>
        <span>${tier}</span> <span class="soft">${channels.join(', ')}</span
        ><span class="soft small end">told ${shortClock(at, now)}</span>
      </li> `,
  );
  return html`<ol class="lines">
      ${stages}${told}
    </ol>
    ${looks === '' ? NOTHING : html`<p>${names(looks)} looks at it.</p>`}
    ${requesters.length === 0 ? NOTHING : html`<p class="soft">${requesters.map(names).join(', ')} asked for it, and cannot approve it.</p>`}`;
}

function recordOf(preview: ApprovalPreview): Html {
  const { approval_id: id, decision_id: decision, tenant, held_at: held, shown } = preview;
  return html`<dl class="small">
    ${row('Approval', html`<code>${id}</code>`)}
    ${row('Held by', html`decision <code>${decision}</code>`)} ${row('Tenant', html`${tenant}`)}
    ${row('Held at', clock(held))}
    ${row('Tool definition', html`<code>${preview.definition_hash === '' ? 'none registered' : preview.definition_hash}</code>`)}
    ${preview.policies.map(({ role, digest }) => row(`Policy (${role})`, html`<code>${digest}</code>`))}
    ${row('What is shown', html`<code>${shown === '' ? 'incomplete' : shown}</code>`)}
  </dl>`;
}
