/** The page of one held call, for the person who looks at it. */
import type { Operator } from '#contracts/control.ts';
import type { ApprovalPreview } from '#contracts/held.ts';
import { html, type Html, NOTHING, plain } from '#host/html.ts';

import type { AdminError } from '../errors.ts';
import { hasRole, seesTenant } from '../operators.ts';
import type { Seat } from '../sign-in/desk.ts';
import { approvalView } from './approval-view.ts';
import { decisionView, needsCode, PAGE_STEPS, type PageStep } from './decision-view.ts';
import type { Layout } from './layout.ts';
import { type PageParts, viewerOf } from './seat.ts';

/** While the chain does not have a new call yet, its page asks again by itself. */
const FRESH_MS = 60_000;
const AGAIN_S = 2;
const TITLE_CHARS = 120;

export function approvalPage(
  parts: PageParts,
  {
    preview,
    seat,
    error,
    draft,
  }: {
    readonly preview: ApprovalPreview;
    readonly seat: Seat;
    /** Why the decision that was sent was none. */
    readonly error?: AdminError;
    /** Changed arguments that were sent with it. */
    readonly draft?: string | undefined;
  },
): Layout {
  const { operators } = parts;
  const at = Date.now();
  const viewer = viewerOf(parts, seat);
  const { tenant } = preview;
  const may = (step: PageStep): boolean =>
    hasRole(seat.operator, PAGE_STEPS[step].role) && seesTenant(seat.operator, tenant);
  const approvers = [...operators.values()]
    .filter(
      (operator) =>
        operator.disabled !== true && hasRole(operator, 'approver') && seesTenant(operator, tenant),
    )
    .map(({ id }) => id);
  const waits = preview.state === 'pending' && preview.missing.length > 0;
  const view = { preview, viewer, may, at, draft };
  return {
    title: plain(preview.effect === '' ? preview.tool : preview.effect, TITLE_CHARS),
    viewer,
    body: html`${error === undefined ? NOTHING : told(error, needsCode(view))}
    ${approvalView({ preview, names: (id) => nameOf(operators, id), approvers, decision: decisionView(view), at })}`,
    ...(waits && error === undefined && at - preview.held_at < FRESH_MS ? { againS: AGAIN_S } : {}),
  };
}

const told = ({ code, message, retryAfterS }: AdminError, asksCode: boolean): Html =>
  html`<section class="notice bad" role="alert">
    <p>
      <strong>Nothing was changed by you.</strong> ${message}
      ${code === 'sign_in.wait' ? `Try again in ${retryAfterS} seconds.` : ''}${code === 'approval.step_up' && asksCode ? 'Enter a code below.' : ''}
      ${code === 'approval.ended' || code === 'approval.incomplete' ? 'Below is the call as it is now.' : ''}
    </p>
  </section>`;

/** People by their names, the platform's own steps by what they are. */
function nameOf(operators: ReadonlyMap<string, Operator>, id: string): string {
  if (id === 'agent') return 'the agent itself';
  if (id.startsWith('system:')) return 'the platform';
  const name = operators.get(id)?.name;
  return name === undefined || name === id ? id : `${name} (${id})`;
}
