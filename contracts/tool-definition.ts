/** What identifies the definition of a tool as its server shows it: a changed definition is another tool. */
import { canonical, type JsonObject, NotCanonical } from './json.ts';
import { sha256 } from './record.ts';

/** What a server may say differently from one list to the next without changing the tool. */
const VOLATILE = new Set(['_meta', 'execution', 'icons']);

/** Digest of a definition, `sha256:` and hex; '' for one that has no canonical form and so equals nothing. */
export function definitionHash(definition: JsonObject): string {
  const lasting = Object.entries(definition).filter(([name]) => !VOLATILE.has(name));
  try {
    return sha256(canonical(Object.fromEntries(lasting)));
  } catch (error) {
    if (error instanceof NotCanonical) return '';
    throw error;
  }
}
