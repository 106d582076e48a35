/** Configuration of the audit chainer. */
import { type Static, Type } from 'typebox';

import { HostConfig, SecretFile } from '#host/config.ts';

export const ChainerConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'JSON object with the MAC keys, base64, of every process that writes records.',
  ),
  COUNTERSIGN_DATABASE_URL_FILE: SecretFile(
    'File with the database URL of the role countersign_chainer.',
  ),
  COUNTERSIGN_SPOOL_KEEP_SECONDS: Type.Integer({
    minimum: 0,
    maximum: 86_400,
    default: 300,
    description: 'How long a record stays in its stream after it was chained.',
  }),
});
export type ChainerConfig = Static<typeof ChainerConfig>;
