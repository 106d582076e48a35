/** Which sources feed a fact and whether their word is recent enough. In memory; nothing for tenants without sources. */
import { factKey } from '#contracts/fact-name.ts';
import { type FactSource, sourceOfKey, type SourceTime } from '#contracts/fact-source.ts';
import type { ControlView } from '#host/control-view.ts';

import type { PolicyPoints } from '../checks/policy.ts';

interface Source {
  /** Stored keys, each with everything below it. */
  keys: readonly string[];
  maxAgeMs: number;
  /** Milliseconds UTC by the source's clock; nothing came yet = never. */
  asOf: number;
}

export function staleSourceOf(view: Pick<ControlView, 'onChange'>): PolicyPoints['staleSource'] {
  const byTenant = new Map<string, Map<string, Source>>();
  const sourceAt = (key: string): Source => {
    const { tenant, id } = sourceOfKey(key);
    const sources = byTenant.get(tenant) ?? new Map<string, Source>();
    byTenant.set(tenant, sources);
    const source = sources.get(id) ?? { keys: [], maxAgeMs: 0, asOf: Number.NEGATIVE_INFINITY };
    sources.set(id, source);
    return source;
  };
  view.onChange((key, { value }) => {
    if (key.startsWith('source.')) {
      const registered = value as FactSource | null;
      const source = sourceAt(key);
      source.keys = (registered?.keys ?? []).flatMap((name) => factKey(name) ?? []);
      source.maxAgeMs = (registered?.max_age_s ?? 0) * 1_000;
    } else if (key.startsWith('asof.')) {
      sourceAt(key).asOf = (value as SourceTime | null)?.as_of ?? Number.NEGATIVE_INFINITY;
    }
  });
  return (tenant, key, at) => {
    for (const [id, { keys, maxAgeMs, asOf }] of byTenant.get(tenant) ?? []) {
      const fed = keys.some((prefix) => key === prefix || key.startsWith(`${prefix}/`));
      if (fed && at - asOf > maxAgeMs) return id;
    }
    return '';
  };
}
