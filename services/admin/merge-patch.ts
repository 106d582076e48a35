/** JSON Merge Patch (RFC 7396). Pure; neither argument is changed. */
import type { Json, JsonObject } from '#contracts/json.ts';

/** What a document becomes: members of the patch replace, nested objects merge, null removes. */
export function mergePatch(before: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const after: JsonObject = isObject(before) ? { ...before } : {};
  for (const [name, part] of Object.entries(patch)) {
    if (part === null) delete after[name];
    else after[name] = mergePatch(Object.hasOwn(after, name) ? after[name] : undefined, part);
  }
  return after;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
