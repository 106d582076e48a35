/** Obligations of an allow: what has to be done to the answer of a tool. They touch responses only. */
import { Compile } from 'typebox/compile';

import type { Json, JsonObject } from '#contracts/json.ts';
import { Obligation } from '#contracts/policy.ts';

const shape = Compile(Obligation);

/** The obligations of an answer, or undefined when one of them is not known here: then the call must not run. */
export function knownObligations(given: readonly unknown[]): readonly Obligation[] | undefined {
  const known = given.filter((one): one is Obligation => shape.Check(one));
  return known.length === given.length ? known : undefined;
}

export const REDACTED = '[redacted]';

/**
 * A tool's result with the demanded parts of its structured content redacted. Its text content repeats the structured
 * content, so where anything is redacted the text is replaced by what is left.
 */
export function redacted(result: JsonObject, obligations: readonly Obligation[]): JsonObject {
  const paths = obligations.flatMap((one) => (one.type === 'redact' ? one.paths : []));
  const { resultType } = result;
  if (paths.length === 0 || resultType === 'input_required') return result;
  // What it becomes is told by another method, where nobody knows of this obligation.
  if (resultType === 'task') return { resultType: 'complete', isError: true, content: [WITHHELD] };
  const structured = structuredClone(result['structuredContent']);
  // Without structure nobody can say where the part stands, so nothing of the content goes out.
  if (structured === undefined) return { ...result, content: [textOf(REDACTED)] };
  if (typeof structured !== 'object' || structured === null) {
    return { ...result, content: [textOf(REDACTED)], structuredContent: REDACTED };
  }
  for (const path of paths) redact(structured, path.split('/').slice(1).map(unescape));
  return {
    ...result,
    content: [textOf(JSON.stringify(structured))],
    structuredContent: structured,
  };
}

const textOf = (text: string): JsonObject => ({ type: 'text', text });

const WITHHELD = textOf(
  'The call runs, but its result has to be redacted, which cannot be done for a task. It is withheld.',
);

const unescape = (segment: string): string => segment.replaceAll('~1', '/').replaceAll('~0', '~');

function redact(value: Json, [name, ...rest]: readonly string[]): void {
  if (name === undefined || typeof value !== 'object' || value === null) return;
  const container = value as { [name: string]: Json }; // arrays are addressed by their indices as names
  const part = Object.hasOwn(container, name) ? container[name] : undefined;
  if (part === undefined) return;
  if (rest.length === 0) container[name] = REDACTED;
  else redact(part, rest);
}
