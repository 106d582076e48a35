// The channels of a local system: one that stands in for Slack, so that a held call is asked and decided without an account.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { placesIn } from './places.ts';
import { keepPrivate, writePrivate } from './private-file.ts';

export interface LocalChat {
  readonly channelsFile: string;
  /** `address:port` that the notifier may reach. */
  readonly target: string;
}

/** Name of the channel, and of the two demo persons there. */
export const CHAT_CHANNEL = 'team-chat';
export const CHAT_PEOPLE = { U00ADA: 'ada', U00GRACE: 'grace' } as const;
const CHAT_ROOM = 'C00DEMO';

/** Makes its secrets, and writes the channels unless somebody has changed the file. */
export function prepareChat(
  dir: string,
  from: { readonly secretsDir: string; readonly port: number; readonly adminUrl: string },
): LocalChat {
  const { channels: channelsFile } = placesIn(dir);
  for (const what of ['token', 'signing']) {
    keepPrivate(join(from.secretsDir, 'demo', `${CHAT_CHANNEL}.${what}`), () =>
      randomBytes(24).toString('hex'),
    );
  }
  const target = `127.0.0.1:${from.port}`;
  const text = `${JSON.stringify(channelsOf(target, from.adminUrl), null, 2)}\n`;
  if (!existsSync(channelsFile) || isOurs(channelsFile)) writePrivate(channelsFile, text);
  return { channelsFile, target };
}

const channelsOf = (target: string, adminUrl: string) => ({
  link: `${adminUrl}/approvals/{tenant}/{approval}`,
  tenants: {
    demo: [
      {
        name: CHAT_CHANNEL,
        kind: 'slack',
        url: `http://${target}/api/`,
        to: CHAT_ROOM,
        people: CHAT_PEOPLE,
      },
    ],
  },
});

/** Ports change between starts; a file with anything but the one demo channel belongs to a person. */
function isOurs(file: string): boolean {
  const addresses = /"(link|url)": "[^"]*"/g;
  const ours = JSON.stringify(channelsOf('', ''), null, 2).replace(addresses, '');
  return readFileSync(file, 'utf8').trimEnd().replace(addresses, '') === ours;
}
