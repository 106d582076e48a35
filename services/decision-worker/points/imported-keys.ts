/** The keys that tenants imported, opened once for each change. */
import { type Compat, openKey } from '#contracts/compat.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

/** A key that signs tokens elsewhere. The same object for as long as nobody changed it. */
export interface ImportedKey {
  readonly key: Uint8Array;
  /** What its tokens call the tenant. */
  readonly tokenTenant: string;
}

export type ImportedKeyOf = (tenant: TenantId) => ImportedKey | undefined;

/** @param masters keys of capabilities, under which imported ones are sealed */
export function importedKeysOf(view: ControlView, masters: readonly Uint8Array[]): ImportedKeyOf {
  const prefix = CONTROL_KEYS.compat('');
  const known = new Map<string, ImportedKey>();
  view.onChange((key, entry) => {
    if (!key.startsWith(prefix)) return;
    const tenant = key.slice(prefix.length);
    known.delete(tenant);
    // Checked against its schema before it was projected.
    const compat = entry.value as Compat | null;
    const opened = openKey(masters, tenant, compat?.sealed_key ?? '');
    if (opened === undefined) return;
    known.set(tenant, { key: opened, tokenTenant: compat?.token_tenant ?? tenant });
  });
  return (tenant) => known.get(tenant);
}
