/** Configuration of the audit chainer. */
import { type Static, Type } from 'typebox';

import { AT_REST_KEYS, HostConfig, SecretFile } from '#host/config.ts';

export const ChainerConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'JSON object with the MAC keys, base64, of every process that writes records.',
  ),
  COUNTERSIGN_DATABASE_URL_FILE: SecretFile(
    'File with the database URL of the role countersign_chainer.',
  ),
  COUNTERSIGN_AT_REST_KEYS_FILE: SecretFile(AT_REST_KEYS),
  COUNTERSIGN_LOG_KEY_FILE: SecretFile(
    'File with the Ed25519 key that signs checkpoints, `PRIVATE+KEY+<origin>+...`; its name is the origin of the log.',
  ),
  COUNTERSIGN_WITNESS_POLICY_FILE: Type.String({
    minLength: 1,
    description:
      'Witnesses and quorum that make a checkpoint count, in the format C2SP tlog-policy (docs/witness.md). ' +
      '`quorum none` counts every checkpoint at once: then nobody but us knows it.',
  }),
  COUNTERSIGN_SPOOL_KEEP_SECONDS: Type.Integer({
    minimum: 0,
    maximum: 86_400,
    default: 300,
    description:
      'How long a record stays in its stream after it came under a witnessed checkpoint.',
  }),
});
export type ChainerConfig = Static<typeof ChainerConfig>;
