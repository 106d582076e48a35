/** Configuration of the migration step. */
import { type Static, Type } from 'typebox';

import { HostConfig, SecretFile } from '#host/config.ts';

export const MigrateConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_DATABASE_URL_FILE: SecretFile(
    'File with the database URL of the role that owns the database. The login roles countersign_chainer and countersign_admin exist before; where they do not, they are made without a login and the migrating role needs CREATEROLE.',
  ),
  COUNTERSIGN_STREAM_REPLICAS: Type.Integer({
    minimum: 1,
    maximum: 5,
    default: 1,
    description: 'Replicas of each stream; 3 on a three-node cluster.',
  }),
  COUNTERSIGN_STREAM_SHRINK: Type.Integer({
    minimum: 1,
    maximum: 1024,
    default: 1,
    description: 'Divides the byte limits of the streams, for small disks.',
  }),
});
export type MigrateConfig = Static<typeof MigrateConfig>;
