/** Which rules mask the payloads of a tenant, and the routes by which they are set and tried out. */
import { hkdfSync } from 'node:crypto';

import { hmacSha256 } from '#contracts/capability/hmac.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { REDACTION_OPERATIONS } from '#contracts/redaction-api.ts';
import { parseMasked, type Redaction, redactor, type Redactor } from '#contracts/redaction.ts';

import { type Handlers, mount } from './app.ts';
import type { AuditReads } from './audit-reads.ts';
import { changeBy } from './change.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import type { Routes } from './routes.ts';
import { thingOr } from './things.ts';

/** Nothing is shown but what our own code wrote. */
const NO_RULES: Redaction = { rules: [] };
const HASH_HEX_CHARS = 32;

/** The redactor of a tenant by its rules of now, or by other rules. */
export type RedactorOf = (tenant: TenantId, rules?: Redaction) => Redactor;

export function redactors({
  view,
  capabilityKeys,
}: Pick<Deps, 'view' | 'capabilityKeys'>): RedactorOf {
  return (tenant, rules) =>
    redactor(
      rules ?? view.get<Redaction>(CONTROL_KEYS.redaction(tenant))?.value ?? NO_RULES,
      keyedHash(capabilityKeys[0], tenant),
    );
}

/** Equal for equal values of one tenant until the master key is changed; nothing to guess by for whoever lacks it. */
function keyedHash(master: Uint8Array | undefined, tenant: TenantId): (text: string) => string {
  if (master === undefined) throw new AdminError('service.failed');
  const key = new Uint8Array(hkdfSync('sha256', master, '', `countersign redaction ${tenant}`, 32));
  return (text) => Buffer.from(hmacSha256(key, text)).toString('hex').slice(0, HASH_HEX_CHARS);
}

/** @param reads undefined where no database is configured */
export const redactionRoutes =
  (reads: AuditReads | undefined): Routes =>
  (app, { deps, authenticate }) => {
    const handlers = redactionHandlers(reads, deps);
    mount(app, { operations: REDACTION_OPERATIONS, handlers, authenticate });
  };

function redactionHandlers(
  reads: AuditReads | undefined,
  deps: Deps,
): Handlers<typeof REDACTION_OPERATIONS> {
  const redactorOf = redactors(deps);
  return {
    getRedaction: async ({ tenant }) =>
      thingOr<Redaction>(deps.view, CONTROL_KEYS.redaction(tenant), tenant, NO_RULES),
    putRedaction: async (asked) =>
      changeBy(deps.record)(asked, {
        kind: 'redaction',
        action: 'put',
        target: asked.tenant,
        value: asked.body,
      }),
    previewRedaction: async (asked) => {
      const { tenant, body } = asked;
      const { decision_id: id, ...rules } = body;
      if (reads === undefined)
        throw new AdminError('audit.unavailable', 'No database is configured.');
      const rows = await reads.about(tenant, id).catch((cause: unknown) => {
        throw new AdminError('audit.unavailable', '', { cause });
      });
      const row = rows.find(({ row: { kind } }) => kind === 'decision');
      if (row === undefined || row.payload === null) throw new AdminError('thing.not_found');
      // Nothing may be seen by a preview that could not be read otherwise: this role may read it plain.
      await changeBy(deps.record)(
        { tenant, operator: asked.operator, reason: asked.reason },
        { kind: 'read', action: 'preview', target: id, value: rules },
      );
      const shown = parseMasked(redactorOf(tenant, rules).mask(row.row.leaf as never, row.payload));
      return { masked: shown?.masked ?? [], sections: shown?.sections ?? {} };
    },
  };
}
