// A table of two stand-in services and one step, for tests of the supervisor.

import type { ProcessTable } from '#cli/local/processes.ts';

/** Every process appends its start and its end to `diary`. */
export function standInTable(diary: string): ProcessTable {
  const env = (name: string) => () => ({ STAND_IN_NAME: name, STAND_IN_DIARY: diary });
  const entry = 'test/support/stand-in.ts';
  return {
    steps: [],
    services: [
      { name: 'callee', entry, replicas: 1, env: env('callee') },
      { name: 'caller', entry, replicas: 1, env: env('caller') },
    ],
  };
}
