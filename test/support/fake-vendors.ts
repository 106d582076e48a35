// Stand-ins for PagerDuty's Events API v2 and for a Teams workflow, as strict as what they document.
// Pinned to what both publish as examples: test/vectors/vendors.json, checked by test/unit/notifier/stand-ins.test.ts.
// https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using

import { type FakeServer, json, type Received, type Reply, serveFake } from './fake-http.ts';

type Value = Readonly<Record<string, unknown>>;
export interface FakeVendor extends FakeServer {
  readonly taken: readonly Value[];
}

const read = ({ body }: Received): Value | undefined => {
  try {
    return JSON.parse(body) as Value;
  } catch {
    return undefined;
  }
};
const isJson = ({ headers }: Received) =>
  (headers['content-type'] ?? '').startsWith('application/json');

/** Takes events for one routing key. */
export async function startFakePagerDuty(key: string): Promise<FakeVendor> {
  const taken: Value[] = [];
  const server = await serveFake((received): Reply => {
    if (received.path !== '/v2/enqueue') return { status: 404 };
    const event = isJson(received) ? read(received) : undefined;
    const errors = event === undefined ? ['not JSON'] : pagerdutyFaults(event, key);
    if (event === undefined || errors.length > 0)
      return json(400, { status: 'invalid event', message: 'Event object is invalid', errors });
    taken.push(event);
    return json(202, {
      status: 'success',
      message: 'Event processed',
      dedup_key: event['dedup_key'],
    });
  });
  return { ...server, taken };
}

function pagerdutyFaults(event: Value, key: string): string[] {
  const { routing_key: routing, event_action: action, dedup_key: dedup, payload } = event;
  const { summary, source, severity } = (payload ?? {}) as Value;
  const severities = ['critical', 'error', 'warning', 'info'];
  const checks: Readonly<Record<string, boolean>> = {
    routing_key: routing === key,
    event_action: ['trigger', 'acknowledge', 'resolve'].includes(String(action)),
    dedup_key: typeof dedup === 'string' && dedup.length > 0 && dedup.length <= 255,
    summary: action !== 'trigger' || (typeof summary === 'string' && summary.length <= 1_024),
    source: action !== 'trigger' || (typeof source === 'string' && source !== ''),
    severity: action !== 'trigger' || severities.includes(String(severity)),
  };
  return Object.keys(checks).filter((name) => checks[name] !== true);
}

const CARD_BYTES_MAX = 28 * 1_024;

/** Takes Adaptive Cards. */
export async function startFakeTeams(): Promise<FakeVendor> {
  const taken: Value[] = [];
  const server = await serveFake((received): Reply => {
    const message = isJson(received) ? read(received) : undefined;
    if (Buffer.byteLength(received.body) > CARD_BYTES_MAX) return { status: 413 };
    const [card, ...more] = (message?.['attachments'] ?? []) as Value[];
    const content = (card?.['content'] ?? {}) as Value;
    const good =
      message?.['type'] === 'message' &&
      more.length === 0 &&
      card?.['contentType'] === 'application/vnd.microsoft.card.adaptive' &&
      content['type'] === 'AdaptiveCard' &&
      ['1.2', '1.3', '1.4', '1.5'].includes(String(content['version']));
    if (!good) return { status: 400 };
    taken.push(content);
    return { status: 202 };
  });
  return { ...server, taken };
}
