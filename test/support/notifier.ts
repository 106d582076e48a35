// A notifier over held calls that are real, with stand-ins for the vendors.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readConfig } from '#host/config.ts';

import { NotifierConfig } from '../../services/notifier/config.ts';
import { type RunningNotifier, start } from '../../services/notifier/main.ts';
import { type Approvals, decided, HOLD_REFUNDS, startApprovals } from './approvals.ts';

/** Refunds are held; `risk` is that of the order's name. */
export const HOLD_BY_RISK = HOLD_REFUNDS.replace(
  'default extra := {}',
  `default extra := {}
extra := {"risk": "low"} if startswith(input.call.arguments.order_id, "low")`,
);

export interface ChannelGiven {
  readonly name: string;
  readonly kind: string;
  readonly url?: string;
  readonly to?: string;
  readonly people?: Readonly<Record<string, string>>;
  readonly risks?: readonly string[];
  readonly group_s?: number;
  /** Secret files by what they are. */
  readonly secrets: Readonly<Record<string, string>>;
}

export interface Notifying {
  readonly held: Approvals;
  /** Puts another secret in place. */
  readonly secret: (channel: string, what: string, text: string) => Promise<void>;
  /** Environment of a notifier process. */
  readonly environment: () => Promise<Record<string, string>>;
  readonly startNotifier: (hooks?: Parameters<typeof start>[1]) => Promise<RunningNotifier>;
  /** Holds a refund and gives its approval. */
  readonly hold: (order: string) => Promise<string>;
  readonly close: () => Promise<void>;
}

/** @param targets that may be on loopback */
export async function startNotifying(
  channels: readonly ChannelGiven[],
  targets: readonly string[],
  options: Parameters<typeof startApprovals>[0] = {},
): Promise<Notifying> {
  const held = await startApprovals(options);
  const { world } = held;
  await world.activate(HOLD_BY_RISK);
  const dir = await mkdtemp(join(tmpdir(), 'countersign-channels-'));
  await mkdir(join(dir, world.tenant));
  const secret = (channel: string, what: string, text: string) =>
    writeFile(join(dir, world.tenant, `${channel}.${what}`), `${text}\n`);
  for (const { name, secrets } of channels) {
    for (const [what, text] of Object.entries(secrets)) await secret(name, what, text);
  }
  const list = channels.map((channel) => ({ ...channel, secrets: undefined }));
  const file = await world.file(
    'channels.json',
    JSON.stringify({
      link: 'https://countersign.example/approvals/{tenant}/{approval}',
      tenants: { [world.tenant]: list },
    }),
  );
  const environment = async () => {
    return {
      ...(await held.environment()),
      COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('notifier'),
      COUNTERSIGN_DATABASE_URL_FILE: await world.file(
        'notifier.url',
        held.databaseUrl('countersign_notifier'),
      ),
      COUNTERSIGN_NOTIFIER_PORT: '0',
      COUNTERSIGN_CHANNELS_FILE: file,
      COUNTERSIGN_CHANNEL_SECRETS_DIR: dir,
      COUNTERSIGN_NOTIFIER_TARGETS_ALLOWED: targets.join(','),
    };
  };
  const running: RunningNotifier[] = [];
  return {
    held,
    secret,
    environment,
    startNotifier: async (hooks) => {
      // A port is required of a process; 0 is any free one.
      const one = await start(readConfig(NotifierConfig, await environment()), hooks);
      running.push(one);
      return one;
    },
    hold: async (order) => {
      const answer = await world.ask({
        tool: 'refund_order',
        args: { order_id: order, amount: 9 },
      });
      return decided(answer).approval_id ?? '';
    },
    close: async () => {
      for (const one of running) await one.stop();
      await held.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
