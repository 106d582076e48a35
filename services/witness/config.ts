/** Configuration of the witness. It knows no broker and no database: nothing of the platform that it watches. */
import { type Static, Type } from 'typebox';

import { HostConfig, Port, SecretFile } from '#host/config.ts';

export const WitnessConfig = Type.Object({
  COUNTERSIGN_HEALTH_PORT: HostConfig.COUNTERSIGN_HEALTH_PORT,
  COUNTERSIGN_LOG_LEVEL: HostConfig.COUNTERSIGN_LOG_LEVEL,
  COUNTERSIGN_WITNESS_HOST: Type.String({
    default: '127.0.0.1',
    description: 'Address that it listens on. TLS is the business of a proxy before it.',
  }),
  COUNTERSIGN_WITNESS_PORT: Port('Port of POST /add-checkpoint; 0 = any free one.'),
  COUNTERSIGN_WITNESS_KEY_FILE: SecretFile(
    'File with the key of this witness, made by `countersign witness init`.',
  ),
  COUNTERSIGN_WITNESS_STORE: Type.String({
    minLength: 1,
    description:
      'The store made together with the key: what was cosigned last. Lost or restored from a backup means that ' +
      'the witness is retired: a new key and a new store, never the old key with another store.',
  }),
  COUNTERSIGN_WITNESS_LOGS_FILE: Type.String({
    minLength: 1,
    description:
      'Logs to witness: the `log` lines of a file in the format C2SP tlog-policy. Read again when it changes.',
  }),
});
export type WitnessConfig = Static<typeof WitnessConfig>;
