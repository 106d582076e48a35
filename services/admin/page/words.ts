/** What pages say in one place: states, times, amounts of time. */
import type { HeldAs } from '#contracts/approval.ts';
import type { ApprovalItem } from '#contracts/held.ts';
import { html, type Html } from '#host/html.ts';

/** A state as people read it, and how it looks. */
export const STATES: Readonly<
  Record<
    HeldAs,
    { readonly title: string; readonly look: 'wait' | 'good' | 'bad' | ''; readonly text: string }
  >
> = {
  pending: { title: 'Waits for a decision', look: 'wait', text: 'The call has not run.' },
  approved: {
    title: 'Approved',
    look: 'good',
    text: 'It has not run yet: it is released once, when its agent sends it again.',
  },
  used: { title: 'Approved and released', look: 'good', text: 'It is not released again.' },
  denied: { title: 'Declined', look: 'bad', text: 'It did not run. The agent was told.' },
  edited: {
    title: 'Changed by a person',
    look: '',
    text: 'It did not run as it was. The agent was told what to send instead; another person approves that.',
  },
  expired: {
    title: 'Expired',
    look: '',
    text: 'Its time is over: nobody answered, or it was not sent again in time, which is not a no. It did not run; the agent can ask again.',
  },
  cancelled: { title: 'Withdrawn', look: '', text: 'It was withdrawn or stopped. It did not run.' },
  superseded: {
    title: 'Superseded',
    look: '',
    text: 'Another policy became active while it waited. It did not run; the agent can ask again.',
  },
  no_channel: {
    title: 'Nobody can approve it',
    look: 'bad',
    text: 'Nobody is there who may approve it. It did not run.',
  },
};

const RISK_LOOKS = { low: '', medium: '', high: 'wait', critical: 'bad' } as const;

export const riskChip = ({ risk }: Pick<ApprovalItem, 'risk'>): Html =>
  html`<span class="chip ${RISK_LOOKS[risk]}">${risk} risk</span>`;

export const stateChip = (state: HeldAs): Html =>
  html`<span class="chip ${STATES[state].look}">${STATES[state].title}</span>`;

const MINUTE_MS = 60_000;
const MINUTES_PER_HOUR = 60;

/** A countdown that is true when the page was made, and goes on where scripts run. */
export function countdown(until: number, at: number): Html {
  return html`<time class="number" data-left="${Math.max(0, until - at)}" datetime="${iso(until)}"
    >${left(until, at)}</time
  >`;
}

function left(until: number, at: number): string {
  const minutes = Math.max(0, Math.ceil((until - at) / MINUTE_MS));
  if (minutes === 0) return 'time is over';
  if (minutes < MINUTES_PER_HOUR) return `${minutes} min left`;
  return `${Math.floor(minutes / MINUTES_PER_HOUR)} h ${minutes % MINUTES_PER_HOUR} min left`;
}

/** Date and time, UTC, to the second. */
export const clock = (at: number): Html =>
  html`<time datetime="${iso(at)}">${iso(at).slice(0, 19).replace('T', ' ')} UTC</time>`;

/** The same, without the date where it is that of `now`. */
export const shortClock = (at: number, now: number): Html =>
  iso(at).slice(0, 10) === iso(now).slice(0, 10)
    ? html`<time datetime="${iso(at)}">${iso(at).slice(11, 19)} UTC</time>`
    : clock(at);

const iso = (at: number): string => new Date(at).toISOString();
