/** Configuration of approval-escalation. */
import { type Static, Type } from 'typebox';

import { AT_REST_KEYS, HostConfig, SecretFile } from '#host/config.ts';

export const EscalationConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'JSON object with MAC keys, base64: its own, which signs events and entries and names bindings, and those of decision-worker, admin, ingress and notifier.',
  ),
  COUNTERSIGN_DATABASE_URL_FILE: SecretFile(
    'File with the database URL of the role countersign_approvals.',
  ),
  COUNTERSIGN_AT_REST_KEYS_FILE: SecretFile(AT_REST_KEYS),
});
export type EscalationConfig = Static<typeof EscalationConfig>;
