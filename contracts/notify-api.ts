/** The admin API's part about telling people: channels, notices, dead letters, and who would be asked about a call. */
import { Type } from 'typebox';

import { Risk } from './approval.ts';
import { ToolName } from './call.ts';
import { HeldPlan } from './held.ts';
import type { JsonObject } from './json.ts';
import { ChannelItem, NoticeItem, NoticeSelection, Replayed, Tested } from './notify.ts';
import { get, type Operation, post, TENANT } from './operation.ts';

const closed = { additionalProperties: false } as const;

/** Operations about telling people. */
export const NOTIFY_OPERATIONS = {
  listChannels: get(
    `${TENANT}/channels`,
    'The channels of a tenant, whether each works, and how much waits or is dead there.',
    Type.Object({ items: Type.Array(ChannelItem) }),
  ),
  testChannel: post(
    `${TENANT}/channels/{id}/test`,
    'Send a message to a channel that says it is a test. It is an event in the chain.',
    { body: Type.Object({}, closed), answer: Tested },
    { status: 200 },
  ),
  listNotices: get(
    `${TENANT}/notices`,
    'What people were told about held calls, newest first: of a `state` (due, sent, dead; default all), at most `limit`, below position `before`.',
    Type.Object({ items: Type.Array(NoticeItem), more: Type.Boolean() }),
    ['state', 'limit', 'before'],
  ),
  replayNotices: post(
    `${TENANT}/notices/replay`,
    'Send dead letters again, but for those that ask about calls which do not wait any more. It is an event in the chain.',
    { body: NoticeSelection, answer: Replayed },
    { status: 200 },
  ),
  planApproval: {
    method: 'POST',
    path: `${TENANT}/routes/plan`,
    role: 'viewer',
    summary: 'Who would decide a call like this, and who would be told when. Holds nothing.',
    status: 200,
    query: [],
    body: Type.Object(
      {
        tool: ToolName,
        arguments: Type.Optional(
          Type.Unsafe<JsonObject>({ type: 'object', additionalProperties: true }),
        ),
        risk: Type.Optional(Risk),
        route: Type.Optional(Type.String({ maxLength: 64, description: 'That the policy names.' })),
        quorum: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
        person: Type.Optional(
          Type.String({ maxLength: 256, description: 'Whom the agent acts for: cannot approve.' }),
        ),
      },
      closed,
    ),
    answer: Type.Object({
      ...HeldPlan.properties,
      tiers: Type.Array(
        Type.Object({
          ...HeldPlan.properties.tiers.items.properties,
          channels: Type.Array(
            Type.Object({
              name: Type.String(),
              kind: Type.String({ description: 'Empty: there is no such channel.' }),
              down: Type.Boolean(),
            }),
          ),
        }),
      ),
    }),
  },
} as const satisfies Readonly<Record<string, Operation>>;
