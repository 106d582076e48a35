/**
 * PagerDuty Events API v2: one incident for each held call, by its dedup key.
 * @see https://developer.pagerduty.com/docs/events-api-v2-overview
 */
import { baseUrl } from './channels.ts';
import { byStatus, JSON_TYPE, NoSecret, type Notice, type Vendor } from './vendor.ts';
import { factsOf, isEnd, shown, titleOf, UNTRUSTED } from './words.ts';

const SEVERITY = { low: 'info', medium: 'warning', high: 'error', critical: 'critical' } as const;
const SUMMARY_MAX = 1_024;

export const pagerduty: Vendor = {
  // An incident that somebody looks at pages nobody for another call: so each call has its own.
  groups: false,
  repeatable: () => true,
  make: async (notice, { channel, link, secret }) => {
    const action = actionOf(notice);
    if (action === undefined) return undefined;
    const key = await secret('key');
    if (key === '') throw new NoSecret('no routing key');
    const base = { routing_key: key, event_action: action, dedup_key: notice.approval };
    return {
      url: new URL('/v2/enqueue', baseUrl(channel)).href,
      headers: { 'content-type': JSON_TYPE },
      body: JSON.stringify(
        action === 'trigger' ? { ...base, ...trigger(notice, link(notice.approval)) } : base,
      ),
    };
  },
  read: byStatus,
};

function actionOf({ kind, event }: Notice): 'trigger' | 'acknowledge' | 'resolve' | undefined {
  if (kind === 'ask') return 'trigger';
  if (isEnd(event.event)) return 'resolve';
  return event.event === 'acknowledged' ? 'acknowledge' : undefined;
}

const trigger = ({ event, tenant }: Notice, link: string) => ({
  client: 'Countersign',
  client_url: link,
  links: [{ href: link, text: 'Open the approval' }],
  payload: {
    summary: shown(titleOf(event.value.summary), SUMMARY_MAX),
    source: `countersign/${tenant}`,
    severity: SEVERITY[event.value.summary.risk],
    timestamp: new Date(event.at).toISOString(),
    class: 'approval',
    custom_details: {
      ...Object.fromEntries(factsOf(event.value.summary)),
      Effect: shown(event.value.summary.effect, SUMMARY_MAX),
      Note: UNTRUSTED,
    },
  },
});
