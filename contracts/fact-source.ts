/** Outside systems that facts come from: which facts, and how old their word may be before it refuses calls. */
import { Type, type Static } from 'typebox';

import { decodeKey } from './control.ts';
import { factKey } from './fact-name.ts';

/** A source MUST say at least this often that it is alive; a third of its bound is a good pace. */
export const SOURCE_SECONDS_MIN = 5;
const SOURCE_SECONDS_MAX = 7 * 24 * 60 * 60;

/** A registered source. What it feeds is stale once its last `as_of` is older than `max_age_s`, and from the start. */
export const FactSource = Type.Object(
  {
    keys: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
      minItems: 1,
      maxItems: 32,
      description: 'Facts that it feeds: each with everything below it, `people` for people/...',
    }),
    max_age_s: Type.Integer({ minimum: SOURCE_SECONDS_MIN, maximum: SOURCE_SECONDS_MAX }),
  },
  { additionalProperties: false },
);
export type FactSource = Static<typeof FactSource>;

/** What stands under the time of a source: everything it knew at that time has arrived. */
export interface SourceTime {
  /** Milliseconds UTC, by the source's clock. */
  readonly as_of: number;
}

/** Whether a source feeds the fact with this stored key. */
export const feeds = ({ keys }: Pick<FactSource, 'keys'>, stored: string): boolean =>
  keys.some((name) => {
    const key = factKey(name);
    return key !== undefined && (stored === key || stored.startsWith(`${key}/`));
  });

/** Tenant and id in a key of bucket `control` below `source.` or `asof.`. */
export function sourceOfKey(key: string): { readonly tenant: string; readonly id: string } {
  const [, tenant = '', id = ''] = key.split('.');
  return { tenant, id: decodeKey(id) };
}
