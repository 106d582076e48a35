/** Configuration of the decision worker. */
import { type Static, Type } from 'typebox';

import { HostConfig, SecretFile } from '#host/config.ts';

export const WorkerConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile('JSON object with the MAC key of decision-worker, base64.'),
  COUNTERSIGN_CAPABILITY_KEYS_FILE: SecretFile(
    'JSON list of master keys of capabilities, base64, newest first, at most 3.',
  ),
  COUNTERSIGN_PSEUDONYM_KEY_FILE: SecretFile(
    'Key, base64, that makes the pseudonyms of persons in the chain.',
  ),
  COUNTERSIGN_WORKER_ID: Type.String({
    default: '',
    pattern: '^[A-Za-z0-9_-]{0,64}$',
    description:
      'Name of this worker in records and heartbeats; default: worker and the process id.',
  }),
  COUNTERSIGN_CAPABILITY_AUDIENCE: Type.String({
    default: 'countersign',
    description: 'Audience that a capability with an audience caveat must name.',
  }),
});
export type WorkerConfig = Static<typeof WorkerConfig>;
