// Follows the chain: every row that fits, once, in order, also across restarts of whatever is between.

import { setTimeout as sleep } from 'node:timers/promises';

import { type RowFilter, rowPage } from '#cli/audit-rows.ts';
import { type AdminClient, Refused } from '#cli/client.ts';
import { CliError } from '#cli/output.ts';
import type { AuditRow } from '#contracts/audit-api.ts';

const LOOK_MS = 500;
const LOOK_AGAIN_MS = 1_000;

export interface Following {
  /** Asked anew after each failure: the system may be back under another address. Throws CliError while it is away. */
  readonly connect: () => AdminClient;
  readonly filter: RowFilter;
  /** Rows behind this sequence; undefined = behind the newest one. */
  readonly after: number | undefined;
  /** The system does not answer (`why`), or answers again (undefined). */
  readonly onAway: (why: string | undefined) => void;
}

/** Rows without end. @throws CliError when the answer is a refusal that waiting does not change */
export async function* followRows({
  connect,
  filter,
  after,
  onAway,
}: Following): AsyncGenerator<AuditRow> {
  let position = after;
  let away = false;
  for (;;) {
    try {
      const admin = connect();
      position ??= (await rowPage(admin, {}, { limit: 1 })).head.sequence;
      let cursor: string | undefined;
      do {
        const page = await rowPage(
          admin,
          filter,
          cursor === undefined ? { after: position } : { cursor },
        );
        if (away) onAway(undefined);
        away = false;
        for (const row of page.items) {
          yield row;
          // Kept row by row: whatever fails next, none comes twice.
          position = row.sequence;
        }
        cursor = page.next;
        if (cursor === undefined) position = Math.max(position, page.head.sequence);
      } while (cursor !== undefined);
      await sleep(LOOK_MS);
    } catch (error) {
      if (!passes(error)) throw error;
      if (!away) onAway(error.message);
      away = true;
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

/** Nobody answers, or the database is away: wait. A refusal of the question itself stays one. */
function passes(error: unknown): error is CliError {
  if (error instanceof Refused) return /^(audit|service)\./.test(error.code);
  return error instanceof CliError || (error instanceof Error && error.name === 'TimeoutError');
}
