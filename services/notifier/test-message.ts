/** A message that says it is a test, made and sent as every other one is, without buttons. */
import { randomBytes } from 'node:crypto';

import { asApprovalId, type TenantId, uuid7 } from '#contracts/ids.ts';
import type { Tested } from '#contracts/notify.ts';

import type { ChannelStates } from './channel-states.ts';
import type { Channel, Channels } from './channels.ts';
import type { Post } from './outgoing.ts';
import type { Around, Notice } from './vendor.ts';
import { VENDORS } from './vendors.ts';
import { TEST_TOOL } from './words.ts';

export interface TestParts {
  readonly channels: Channels;
  readonly post: Post;
  readonly states: Pick<ChannelStates, 'worked'>;
  readonly now: () => number;
}

interface Test {
  readonly tenant: TenantId;
  readonly channel: Channel;
  /** The operator who asked for it. */
  readonly by: string;
}

const ID_BYTES = 10;
const SHOWN_MS = 3_600_000;

export async function sendTest(parts: TestParts, test: Test): Promise<Tested> {
  const asked = noticeOf(test, parts.now());
  const fault = await send(parts, test, asked);
  if (fault !== '') return { sent: false, fault };
  await parts.states.worked({ tenant: test.tenant, channel: test.channel.name });
  // What opens something there closes it again.
  const event = { ...asked.event, event: 'cancelled', state: 'cancelled' } as const;
  if (test.channel.kind === 'pagerduty')
    await send(parts, test, { ...asked, kind: 'update', event });
  return { sent: true, fault: '' };
}

/** Why it was not sent, '' when it was. */
async function send(parts: TestParts, { tenant, channel }: Test, notice: Notice): Promise<string> {
  const { channels, post, now } = parts;
  const vendor = VENDORS[channel.kind];
  const around: Around = {
    // Nobody is known there: so there are no buttons.
    channel: { ...channel, people: {} },
    link: (approval) => channels.link(tenant, approval),
    standing: { place: '', message: '' },
    calls: [notice],
    again: false,
    secret: async (what) => (await channels.secrets(tenant, channel.name, what))[0] ?? '',
    nonce: () => '',
    now: now(),
  };
  try {
    const outgoing = await vendor.make(notice, around);
    if (outgoing === undefined) return '';
    const result = vendor.read(await post(outgoing), now());
    return result.is === 'sent' ? '' : result.fault;
  } catch (error) {
    return (error as Error).message;
  }
}

function noticeOf({ tenant, channel, by }: Test, at: number): Notice {
  const approval = uuid7(at, randomBytes(ID_BYTES));
  return {
    tenant,
    approval,
    step: 1,
    channel: channel.name,
    lead: approval,
    kind: 'ask',
    repeat: false,
    event: {
      id: uuid7(at, randomBytes(ID_BYTES)),
      at,
      by,
      event: 'reached',
      state: 'pending',
      value: {
        tier: null,
        progress: { stage: '', votes: 0, needed: 0 },
        reason: '',
        use: null,
        summary: {
          approval_id: asApprovalId(approval),
          tenant,
          tool: TEST_TOOL,
          upstream: '',
          agent: by,
          agent_class: '',
          person: '',
          effect: 'Nothing waits, and nothing can be decided here.',
          risk: 'low',
          policy_reason: '',
          labels: [],
          held_at: at,
          expires_at: at + SHOWN_MS,
        },
      },
    },
  };
}
