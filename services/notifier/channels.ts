/** Channels of each tenant, from one file; their secrets are files of their own and are read again at each use. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { type ApprovalSummary, Risk } from '#contracts/approval.ts';
import { ToolName } from '#contracts/call.ts';
import { ThingId } from '#contracts/control.ts';
import { TENANT_PATTERN } from '#contracts/ids.ts';
import { ChannelKind } from '#contracts/notify.ts';
import { ConfigError } from '#host/config.ts';

const closed = { additionalProperties: false } as const;

const Channel = Type.Object(
  {
    name: ThingId,
    kind: ChannelKind,
    /** Base address of the vendor's API; teams: none, its address is a secret. */
    url: Type.Optional(Type.String({ maxLength: 2_048 })),
    /** Slack: id of the conversation. */
    to: Type.Optional(Type.String({ pattern: '^[CDG][A-Z0-9]{2,24}$' })),
    /** Operators by the id that the vendor gives the person. */
    people: Type.Optional(Type.Record(Type.String({ maxLength: 128 }), ThingId)),
    /** Slack: how long after its first call a message takes others like it, seconds; 0 = each has its own. */
    group_s: Type.Optional(Type.Integer({ minimum: 0, maximum: 3_600 })),
    /** Where a tier names no channel, only for these; left out = any. */
    risks: Type.Optional(Type.Array(Risk)),
    tools: Type.Optional(Type.Array(ToolName)),
  },
  closed,
);
export type Channel = Static<typeof Channel>;

const ChannelsFile = Type.Object(
  {
    /** Page of an approval, with `{tenant}` and `{approval}`. */
    link: Type.String({ pattern: '^https?://', maxLength: 1_024 }),
    tenants: Type.Record(
      Type.String({ pattern: TENANT_PATTERN }),
      Type.Array(Channel, { maxItems: 64 }),
    ),
  },
  closed,
);

export interface Channels {
  readonly of: (tenant: string, name: string) => Channel | undefined;
  /** Those that a tier without names means: whoever wants such a call. */
  readonly meant: (call: Pick<ApprovalSummary, 'tenant' | 'risk' | 'tool'>) => readonly Channel[];
  readonly list: (tenant: string) => readonly Channel[];
  readonly link: (tenant: string, approval: string) => string;
  /** Words of a secret file, newest first; empty where there is none. */
  readonly secrets: (tenant: string, channel: string, what: SecretName) => Promise<string[]>;
}
export type SecretName = 'token' | 'signing' | 'secret' | 'key' | 'url';

const URLS: Readonly<Record<Channel['kind'], string>> = {
  slack: 'https://slack.com/api/',
  pagerduty: 'https://events.pagerduty.com/',
  webhook: '',
  teams: '',
};

/** Base address of a channel. */
export const baseUrl = ({ kind, url }: Channel): string => url ?? URLS[kind];

/** @param file '' = no channels @throws ConfigError */
export function readChannels(file: string, folder: string): Channels {
  const { link, tenants } = read(file);
  const list = (tenant: string): readonly Channel[] => tenants[tenant] ?? [];
  return {
    of: (tenant, name) => list(tenant).find((channel) => channel.name === name),
    meant: ({ tenant, risk, tool }) =>
      list(tenant).filter(
        ({ risks, tools }) => (risks?.includes(risk) ?? true) && (tools?.includes(tool) ?? true),
      ),
    list,
    link: (tenant, approval) =>
      link.replaceAll('{tenant}', tenant).replaceAll('{approval}', approval),
    secrets: async (tenant, channel, what) => {
      const text = await readFile(join(folder, tenant, `${channel}.${what}`), 'utf8').catch(
        () => '',
      );
      return text.split(/\s+/).filter((word) => word !== '');
    },
  };
}

const fileCheck = Compile(ChannelsFile);

function read(file: string): Static<typeof ChannelsFile> {
  if (file === '') return { link: '', tenants: {} };
  const value = parse(file);
  const problems = [...fileCheck.Errors(value)].map(
    ({ instancePath, message }) => `channels: ${instancePath} ${message}`,
  );
  if (!fileCheck.Check(value)) throw new ConfigError(problems);
  for (const [tenant, channels] of Object.entries(value.tenants)) {
    const names = new Set(channels.map(({ name }) => name));
    if (names.size !== channels.length)
      throw new ConfigError([`channels: ${tenant} has one name twice`]);
    for (const { name, kind, url, to } of channels) {
      if (kind === 'slack' && to === undefined)
        throw new ConfigError([`channels: ${tenant} ${name} needs "to"`]);
      if (kind === 'webhook' && url === undefined)
        throw new ConfigError([`channels: ${tenant} ${name} needs "url"`]);
    }
  }
  return value;
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new ConfigError([
      `channels: ${file} cannot be read as JSON: ${(cause as Error).message}`,
    ]);
  }
}
