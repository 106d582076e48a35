// Where things of a local system lie. Everything that it makes is below one folder, `.countersign/`.

import { dirname, join } from 'node:path';

/** The checkout that this command line belongs to. */
export const CHECKOUT = dirname(dirname(import.meta.dirname));

/** The folder of the local system: that of the checkout, unless COUNTERSIGN_DIR names another. */
export function systemFolder(): string {
  const named = process.env['COUNTERSIGN_DIR'];
  return named === undefined || named === '' ? join(CHECKOUT, '.countersign') : named;
}

/** Folders and files below the folder of one system. */
export function placesIn(dir: string) {
  return {
    secrets: join(dir, 'secrets'),
    operators: join(dir, 'secrets', 'operators'),
    data: join(dir, 'data'),
    log: join(dir, 'log'),
    /** Key and store of the witness: not among the secrets of those whom it watches. */
    witness: join(dir, 'witness'),
    witnessPolicy: join(dir, 'witness.policy'),
    channels: join(dir, 'channels.json'),
    run: join(dir, 'run'),
    ports: join(dir, 'ports.json'),
    state: join(dir, 'run', 'system.json'),
  };
}
