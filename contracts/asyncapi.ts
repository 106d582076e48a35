/**
 * The bus for programs in other languages: an AsyncAPI 3.0 document of every subject, and a JSON Schema (2020-12) of
 * every line that travels on it.
 */
import { type TSchema, Type } from 'typebox';

import { ApprovalEventValue, ApprovalLeaf } from './approval.ts';
import { CallEnvelope, WorkerAnswer } from './call.ts';
import { ChainEntry } from './chain.ts';
import { CHANGES } from './change.ts';
import { ControlLeaf } from './control.ts';
import { DecisionLeaf } from './decision.ts';
import { HeldAsk } from './held.ts';
import { NotifyAsk } from './notify.ts';
import { OutcomeLeaf } from './outcome.ts';
import { Payload } from './payload.ts';
import { PolicyOutput } from './policy.ts';
import { SealedCheckpoint } from './sealed.ts';
import { STREAMS } from './streams.ts';
import { APPROVAL_EVENTS, HEADERS, HELD_QUEUE, NOTIFY_QUEUE, WORKER_QUEUE } from './subjects.ts';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Every kind of line, by the name of its schema. */
const LINES: Readonly<Record<string, readonly [schema: TSchema, what: string]>> = {
  'call-envelope': [
    CallEnvelope,
    'First line of a call; the second is its arguments as canonical JSON.',
  ],
  'worker-answer': [WorkerAnswer, "A worker's answer to one call."],
  'decision-leaf': [
    DecisionLeaf,
    'First line of a decision record: what the chain keeps for ever.',
  ],
  'outcome-leaf': [OutcomeLeaf, 'First line of an outcome record.'],
  'control-leaf': [ControlLeaf, 'First line of a control event.'],
  'approval-leaf': [ApprovalLeaf, 'First line of an event of a held call.'],
  'approval-value': [ApprovalEventValue, 'Section `value` of such an event.'],
  'held-ask': [HeldAsk, 'What surfaces ask of approval-escalation.'],
  'notify-ask': [NotifyAsk, 'What admin asks of the notifier.'],
  payload: [
    Payload,
    'Second line of every record: sections with the salts of their commitments. A decision has `input` (policy-input) and `evidence`, an outcome `detail`, a control event `value`, an event of a held call `value` (approval-value).',
  ],
  'chain-entry': [ChainEntry, 'What the hash of a chain row covers.'],
  'sealed-checkpoint': [SealedCheckpoint, 'A checkpoint that has met the witness policy.'],
  'policy-output': [PolicyOutput, 'The only answer of a policy that counts.'],
  'control-values': [
    Type.Object(
      Object.fromEntries(
        Object.entries(CHANGES).map(([kind, actions]) => [kind, Type.Object({ ...actions })]),
      ),
    ),
    'Section `value` of a control event, by kind and action.',
  ],
};

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** JSON Schemas by path from the top of the repository. */
export function lineSchemas(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(LINES).map(([name, [schema, description]]) => [
      `contracts/generated/schemas/${name}.schema.json`,
      json({ $schema: DIALECT, $id: `urn:countersign:schema:${name}:1`, description, ...schema }),
    ]),
  );
}

interface Channel {
  readonly address: string;
  readonly description: string;
  readonly lines: readonly string[];
  readonly parameters: readonly string[];
  readonly stream?: keyof typeof STREAMS;
  readonly writer: string;
  readonly readers: readonly string[];
}

const CHANNELS: Readonly<Record<string, Channel>> = {
  calls: {
    address: 'v1.call.{tenant}.{shard}',
    description: `Request-reply in queue group ${WORKER_QUEUE}. The calls of one turn and tenant, two lines each; answers come back as worker-answer lines, grouped, in any order.`,
    lines: ['call-envelope'],
    parameters: ['tenant', 'shard'],
    writer: 'ingress',
    readers: ['decision-worker'],
  },
  decisionBatch: {
    address: 'v1.decision.batch.{shard}',
    description: 'Decision records of concurrent calls, any tenants, in one stored message.',
    lines: ['decision-leaf', 'payload'],
    parameters: ['shard'],
    stream: 'DECISIONS',
    writer: 'decision-worker',
    readers: ['audit-chainer'],
  },
  decisionHold: {
    address: 'v1.decision.hold.{tenant}',
    description: 'One escalated decision.',
    lines: ['decision-leaf', 'payload'],
    parameters: ['tenant'],
    stream: 'DECISIONS',
    writer: 'decision-worker',
    readers: ['audit-chainer', 'approval-escalation'],
  },
  uses: {
    address: 'v1.use.{tenant}.{approval}.{k}',
    description:
      'The decision that used an approval for the k-th time: the only message that this subject ever has.',
    lines: ['decision-leaf', 'payload'],
    parameters: ['tenant', 'approval', 'k'],
    stream: 'DECISIONS',
    writer: 'decision-worker',
    readers: ['audit-chainer', 'approval-escalation'],
  },
  approvals: {
    address: 'v1.approval.{tenant}.{event}.{approval}',
    description: 'A step of a held call.',
    lines: ['approval-leaf', 'payload'],
    parameters: ['tenant', 'event', 'approval'],
    stream: 'APPROVALS',
    writer: 'approval-escalation',
    readers: ['audit-chainer', 'notifier'],
  },
  held: {
    address: 'v1.held.{tenant}',
    description: `Request-reply in queue group ${HELD_QUEUE}. What surfaces ask of, and tell, approval-escalation.`,
    lines: ['held-ask'],
    parameters: ['tenant'],
    writer: 'admin, ingress, notifier',
    readers: ['approval-escalation'],
  },
  notify: {
    address: 'v1.notify.{tenant}',
    description: `Request-reply in queue group ${NOTIFY_QUEUE}. What admin asks of, and tells, the notifier.`,
    lines: ['notify-ask'],
    parameters: ['tenant'],
    writer: 'admin',
    readers: ['notifier'],
  },
  outcomes: {
    address: 'v1.outcome.{tenant}.{shard}',
    description: 'What became of an allowed call.',
    lines: ['outcome-leaf', 'payload'],
    parameters: ['tenant', 'shard'],
    stream: 'OUTCOMES',
    writer: 'ingress',
    readers: ['audit-chainer'],
  },
  sealedCheckpoints: {
    address: 'v1.sealed._platform.checkpoint',
    description: 'Each checkpoint that witnesses have cosigned; at least once, in order.',
    lines: ['sealed-checkpoint'],
    parameters: [],
    stream: 'SEALED',
    writer: 'audit-chainer',
    readers: [],
  },
  control: {
    address: 'v1.control.{tenant}.{kind}',
    description: 'A change by a person or a system, one in each message.',
    lines: ['control-leaf', 'payload'],
    parameters: ['tenant', 'kind'],
    stream: 'CONTROL',
    writer: 'admin',
    readers: ['audit-chainer', 'admin'],
  },
};

const PARAMETERS: Readonly<Record<string, string>> = {
  tenant: 'Tenant, one token; `_platform` for the platform itself.',
  shard: 'Number of the shard.',
  kind: 'Kind of control event.',
  event: `What happened: ${APPROVAL_EVENTS.join(', ')}.`,
  approval: 'Id of the approval.',
  k: 'Which of its uses, from 1.',
};

const MAC_HEADERS = {
  type: 'object',
  required: [HEADERS.mac],
  properties: {
    [HEADERS.mac]: {
      type: 'string',
      description:
        '`writer:key id:HMAC-SHA-256` over subject, LF and body. Readers refuse what lacks it.',
    },
  },
};

/** Readers of the feed have no key to check a MAC with: what is in it bears signatures. */
const hasMac = ({ stream }: Channel): boolean => stream !== undefined && stream !== 'SEALED';

function messageOf(channel: Channel): object {
  return {
    contentType: 'application/x-ndjson',
    description: `Lines in turn: ${channel.lines.join(', ')}.`,
    ...(hasMac(channel) ? { headers: MAC_HEADERS } : {}),
    payload: { oneOf: channel.lines.map((line) => ({ $ref: `./schemas/${line}.schema.json` })) },
  };
}

/** The AsyncAPI document as text. */
export function asyncapi(): string {
  const channels = Object.fromEntries(
    Object.entries(CHANNELS).map(([name, channel]) => [
      name,
      {
        address: channel.address,
        description: channel.description,
        parameters: Object.fromEntries(
          channel.parameters.map((parameter) => [
            parameter,
            { description: PARAMETERS[parameter] },
          ]),
        ),
        messages: { lines: messageOf(channel) },
        ...(channel.stream === undefined ? {} : { 'x-jetstream-stream': channel.stream }),
      },
    ]),
  );
  const operations: Record<string, object> = {};
  for (const [name, { writer, readers }] of Object.entries(CHANNELS)) {
    const channel = { $ref: `#/channels/${name}` };
    operations[`${name}.send`] = { action: 'send', channel, title: writer };
    for (const title of readers) {
      operations[`${name}.receive.${title}`] = { action: 'receive', channel, title };
    }
  }
  return json({
    asyncapi: '3.0.0',
    info: {
      title: 'Countersign bus',
      version: '1',
      description: 'Subjects of the platform. Readers outside it get accounts of their own later.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/x-ndjson',
    channels,
    operations,
  });
}
