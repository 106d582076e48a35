/** What a person can do about a held call, as forms; the server decides anew whatever they send. */
import { APPROVAL_OPERATIONS } from '#contracts/approval-api.ts';
import { toldAs } from '#contracts/approval.ts';
import { type ApprovalPreview, type DecisionStep, EDIT_CHARS_MAX } from '#contracts/held.ts';
import { html, type Html, NOTHING, spelled } from '#host/html.ts';

import { codeField } from './code-field.ts';
import { formToken, type Viewer } from './layout.ts';

/** What can be decided on a page; everything else takes the command line. */
export type PageStep = Extract<DecisionStep, 'approve' | 'deny' | 'edit' | 'acknowledge'>;

/** Each of them with the operation of the API whose rights it takes. */
export const PAGE_STEPS = {
  approve: APPROVAL_OPERATIONS.approve,
  deny: APPROVAL_OPERATIONS.deny,
  edit: APPROVAL_OPERATIONS.editApproval,
  acknowledge: APPROVAL_OPERATIONS.acknowledge,
} as const satisfies Record<PageStep, unknown>;

export interface DecisionView {
  readonly preview: ApprovalPreview;
  readonly viewer: Viewer;
  /** True where the viewer's roles and tenants allow the step at all. */
  readonly may: (step: PageStep) => boolean;
  readonly at: number;
  /** Changed arguments that the person sent, and that could not be taken. */
  readonly draft?: string | undefined;
}

export function decisionView(view: DecisionView): Html {
  const { preview, may, at } = view;
  if (toldAs(preview, at) !== 'pending') return NOTHING;
  if (!may('approve') && !may('acknowledge')) {
    return html`<section class="sheet">
      <h2>Decide</h2>
      <p class="soft">You may look at it. Deciding takes the role approver.</p>
    </section>`;
  }
  return html`<section class="sheet" id="decide">
    <h2>Decide</h2>
    ${may('approve') ? approve(view) : NOTHING} ${may('deny') ? deny(view) : NOTHING}
    ${may('edit') ? edit(view) : NOTHING} ${may('acknowledge') ? acknowledge(view) : NOTHING}
  </section>`;
}

/** Where the decisions about a held call are sent. */
export const decisionPath = ({ tenant, approval_id: id }: ApprovalPreview, step: string): string =>
  `/approvals/${tenant}/${id}/${step}`;

const form = ({ preview, viewer }: DecisionView, step: PageStep, body: Html): Html =>
  html`<form class="choice" method="post" action="${decisionPath(preview, step)}" data-once>
    ${formToken(viewer)} ${body}
  </form> `;

function approve(view: DecisionView): Html {
  const { preview, viewer } = view;
  const hindered = hindrance(view);
  if (hindered !== '')
    return html`<div class="choice"><p class="notice wait" id="hindered">${hindered}</p></div>`;
  const voted = preview.votes.some((vote) => vote.by === viewer.id);
  if (voted) return html`<div class="choice"><p>You said yes. It takes another person.</p></div>`;
  return form(
    view,
    'approve',
    html`<input type="hidden" name="shown" value="${preview.shown}" />
      ${needsCode(view) ? codeField(FRESH) : NOTHING}
      <p class="soft">
        Yes to exactly what is shown above,
        ${preview.uses === 1 ? 'once' : `at most ${preview.uses} times`}. Anything else is another
        request.
      </p>
      <button class="yes">Approve</button>`,
  );
}

const FRESH = html`<p class="soft small">This call takes a second factor that is fresh.</p>`;

/** True when the second factor of this session is too old for this call. */
export function needsCode({ preview, viewer, at }: DecisionView): boolean {
  const { step_up_s: seconds } = preview.plan;
  return seconds > 0 && at - viewer.steppedUpAt > seconds * 1_000;
}

/** Why nobody, or not this person, can say yes now; '' for no reason that is known here. */
function hindrance({ preview, viewer }: DecisionView): string {
  if (preview.missing.length > 0) {
    return `Not everything can be shown yet: ${preview.missing.join(', ')}. It cannot be approved before that is here; it can be declined.`;
  }
  if (preview.requesters.includes(viewer.id)) {
    return 'You asked for this call, or it runs on your behalf: another person has to approve it.';
  }
  return '';
}

const deny = (view: DecisionView): Html =>
  form(
    view,
    'deny',
    html`<div class="field">
        <label for="reason">Reason <span class="soft">(the agent may see it)</span></label>
        <textarea id="reason" name="reason" maxlength="1000"></textarea>
      </div>
      <button class="no">Decline</button>`,
  );

/** Other arguments in place of the held ones. What hides in them is spelled out, so it can be seen and taken out. */
function edit(view: DecisionView): Html {
  const { preview, draft } = view;
  if (preview.missing.length > 0 || preview.arguments === '') return NOTHING;
  const text = draft ?? spelled(JSON.stringify(JSON.parse(preview.arguments), null, 2));
  if (text.length > EDIT_CHARS_MAX) return NOTHING;
  return html`<details class="choice" ${draft === undefined ? NOTHING : html`open`}>
    <summary>Change the arguments instead</summary>
    ${form(
      view,
      'edit',
      html`<input type="hidden" name="shown" value="${preview.shown}" />
        <p class="soft">
          This call ends and does not run. Its agent is told what to send instead; that is judged
          anew, and another person approves it.
        </p>
        <div class="field">
          <label for="arguments">Arguments, as JSON</label>
          <textarea
            class="code"
            id="arguments"
            name="arguments"
            rows="${Math.min(16, text.split('\n').length + 1)}"
            maxlength="${EDIT_CHARS_MAX}"
            spellcheck="false"
            autocapitalize="none"
            required
          >
${text}</textarea>
        </div>
        <div class="field">
          <label for="why">Reason <span class="soft">(the agent may see it)</span></label>
          <textarea id="why" name="reason" maxlength="1000"></textarea>
        </div>
        <button>Change</button>`,
    )}
  </details>`;
}

function acknowledge(view: DecisionView): Html {
  if (view.preview.acknowledged_by !== '') return NOTHING;
  return form(
    view,
    'acknowledge',
    html`<p class="soft">Not sure yet? Say that you look at it, and nobody else is woken.</p>
      <button>I am looking at it</button>`,
  );
}
