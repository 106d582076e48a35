/** Configuration of admin. */
import { type Static, Type } from 'typebox';

import { AT_REST_KEYS, HostConfig, Port, SecretFile } from '#host/config.ts';

export const AdminConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_ADMIN_HOST: Type.String({
    default: '127.0.0.1',
    description: 'Address on which operators are served.',
  }),
  COUNTERSIGN_ADMIN_PORT: Port('Port on which operators are served; 0 = any free one.'),
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'JSON object of MAC keys in base64: admin (signs), and those of every other writer on CONTROL (checked).',
  ),
  COUNTERSIGN_CAPABILITY_KEYS_FILE: SecretFile(
    'JSON list of capability master keys in base64, newest first; the first one signs.',
  ),
  COUNTERSIGN_DATABASE_URL_FILE: Type.String({
    default: '',
    description:
      'File with the database URL of the role that reads the audit tables. Without it only reads of the audit trail are away.',
  }),
  COUNTERSIGN_AT_REST_KEYS_FILE: Type.String({
    default: '',
    description: `${AT_REST_KEYS} Needed with a database.`,
  }),
  COUNTERSIGN_BOOTSTRAP_OPERATORS_FILE: Type.String({
    default: '',
    description:
      'JSON list of the first operators (id, name, roles, token_hash); those that do not exist yet are registered.',
  }),
  COUNTERSIGN_SIGN_IN_KEY_FILE: Type.String({
    default: '',
    description:
      'File with 32 random bytes in base64: it encrypts the secrets of one-time codes and marks forms. Empty = nobody signs in, and there are no pages.',
  }),
  COUNTERSIGN_ADMIN_URL: Type.String({
    default: '',
    description:
      'Address at which browsers of people reach this process, https://... It may be empty only where operators are served on a loopback address: then cookies go over plain HTTP.',
  }),
  COUNTERSIGN_FACT_SOURCES_DIR: Type.String({
    default: '',
    description:
      'Folder with one folder for each tenant, in which the secrets of its fact sources are: <source>.secret with one or two of whsec_<base64>. Empty = no webhooks.',
  }),
  COUNTERSIGN_OPA: Type.String({ default: 'opa', description: 'Path of the opa command.' }),
});
export type AdminConfig = Static<typeof AdminConfig>;
