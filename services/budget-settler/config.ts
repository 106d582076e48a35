/** Configuration of the budget settler. */
import { type Static, Type } from 'typebox';

import { HostConfig, SecretFile } from '#host/config.ts';

export const SettlerConfig = Type.Object({
  ...HostConfig,
  COUNTERSIGN_MAC_KEYS_FILE: SecretFile(
    'JSON object with the MAC keys, base64, of decision-worker and ingress.',
  ),
});
export type SettlerConfig = Static<typeof SettlerConfig>;
