/** What waits, the most urgent first, and what ended lately. */
import { toldAs } from '#contracts/approval.ts';
import type { ApprovalItem } from '#contracts/held.ts';
import { foreign, html, type Html, NOTHING } from '#host/html.ts';

import { countdown, riskChip, stateChip } from './words.ts';

export interface ListView {
  readonly pending: readonly ApprovalItem[];
  readonly ended: readonly ApprovalItem[];
  /** More wait than are listed. */
  readonly more: boolean;
  /** Tenants that are looked at, and those that would be looked at by their own. */
  readonly tenants: readonly string[];
  readonly rest: readonly string[];
  readonly at: number;
}

export function listView({ pending, ended, more, tenants, rest, at }: ListView): Html {
  const several = tenants.length > 1;
  const urgent = pending.toSorted((one, other) => one.expires_at - other.expires_at);
  return html`<h1>Requests for approval</h1>
    ${urgent.length === 0 ? html`<section class="sheet"><p class="soft">Nothing waits for a decision.</p></section>` : NOTHING}
    ${urgent.map((item) => request(item, several, at))}
    ${more ? html`<p class="notice wait">More wait than are listed here. ./countersign approvals list shows the newest 200.</p>` : NOTHING}
    ${
      ended.length === 0
        ? NOTHING
        : html`<section class="sheet">
            <h2>Lately</h2>
            <ul class="lines">
              ${ended.map((item) => line(item, at))}
            </ul>
          </section>`
    }
    ${rest.length === 0 ? NOTHING : html`<p class="soft">Other tenants: ${rest.map((tenant) => html`<a href="/approvals?tenant=${tenant}">${tenant}</a> `)}</p>`}`;
}

const addressOf = ({ tenant, approval_id: id }: ApprovalItem): string =>
  `/approvals/${tenant}/${id}`;

const titleOf = ({ effect, tool }: ApprovalItem): Html => foreign(effect === '' ? tool : effect);

function request(item: ApprovalItem, withTenant: boolean, at: number): Html {
  const { plan, votes, person, acknowledged_by: looks } = item;
  const needed = plan.stages.reduce((sum, { quorum }) => sum + quorum, 0);
  return html`<a class="sheet request" href="${addressOf(item)}"
    ><span class="facts"
      >${riskChip(item)}
      ${countdown(item.expires_at, at)}${needed > 1 ? html`<span class="soft">${votes.length} of ${needed} said yes</span>` : NOTHING}${looks === '' ? NOTHING : html`<span class="soft">${looks} looks at it</span>`}</span
    >
    <strong>${titleOf(item)}</strong>
    <span class="soft small"
      >${foreign(item.agent)}${person === '' ? '' : html` for ${foreign(person)}`}${withTenant ? ` · ${item.tenant}` : ''}</span
    ></a
  > `;
}

const line = (item: ApprovalItem, at: number): Html =>
  html`<li>${stateChip(toldAs(item, at))} <a href="${addressOf(item)}">${titleOf(item)}</a></li> `;
