/** Configuration of the notifier. */
import { type Static, Type } from 'typebox';

import { AT_REST_KEYS, HostConfig, Port, SecretFile } from '#host/config.ts';

export const NotifierConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'JSON object with MAC keys, base64: its own, and those of approval-escalation and admin.',
  ),
  COUNTERSIGN_DATABASE_URL_FILE: SecretFile(
    'File with the database URL of the role countersign_notifier.',
  ),
  COUNTERSIGN_AT_REST_KEYS_FILE: SecretFile(AT_REST_KEYS),
  COUNTERSIGN_NOTIFIER_HOST: Type.String({
    default: '127.0.0.1',
    description: 'Address of the listener for callbacks. TLS is the business of a proxy before it.',
  }),
  COUNTERSIGN_NOTIFIER_PORT: Port('Port of the listener for callbacks; 0 = any free one.'),
  COUNTERSIGN_CHANNELS_FILE: Type.String({
    default: '',
    description: 'JSON file with the channels of each tenant (docs/notify.md); empty = none.',
  }),
  COUNTERSIGN_CHANNEL_SECRETS_DIR: Type.String({
    default: '',
    description:
      'Folder with `<tenant>/<channel>.<token|signing|secret|key|url>`, one secret each.',
  }),
  COUNTERSIGN_NOTIFIER_TARGETS_ALLOWED: Type.String({
    default: '',
    description:
      '`address:port` of targets, separated by commas, that may be private, loopback or without TLS; the demo names its own.',
  }),
});
export type NotifierConfig = Static<typeof NotifierConfig>;
