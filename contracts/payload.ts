/**
 * Whether a payload is the one that its leaf commits to. What is committed but does not stand in the payload can be
 * derived from what does: the arguments stand in the policy input, the call hash follows from them.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { callHash } from './call-hash.ts';
import { parseCanonical } from './canonical-text.ts';
import { canonical, type Json } from './json.ts';
import { commitment, type Commitments, sha256 } from './record.ts';

/** The payload line of a record, parsed. */
export const Payload = Type.Object(
  {
    salts: Type.Record(Type.String(), Type.String()),
    sections: Type.Record(Type.String(), Type.Unsafe<Json>(Type.Unknown())),
    v: Type.Literal(1),
  },
  { additionalProperties: false },
);
export type Payload = Static<typeof Payload>;

/** The leaf of any record, as far as its payload concerns. */
export interface CommittingLeaf {
  readonly kind: string;
  readonly commitments: Commitments;
}

const check = Compile(Payload);

/** The payload in a text, undefined for one that is not the canonical text of a payload. */
export function parsePayload(text: string): Payload | undefined {
  const value = parseCanonical(text);
  return check.Check(value) ? value : undefined;
}

/**
 * What keeps a payload from being the one of its leaf, empty when nothing does. Names the section, never content.
 * A payload MUST hold exactly what is committed: anything more would be shown without being proved.
 */
export function payloadFault(leaf: CommittingLeaf, text: string): string {
  const payload = parsePayload(text);
  if (payload === undefined) return 'the payload is malformed';
  const { salts, sections } = payload;
  const { commitments } = leaf;
  for (const name of [...Object.keys(sections), ...Object.keys(salts)]) {
    if (!Object.hasOwn(commitments, name)) return `${name} is not committed to`;
  }
  const texts = committedTexts(leaf, payload);
  for (const [name, committed] of Object.entries(commitments)) {
    const content = texts[name];
    const salt = salts[name];
    if (content === undefined || salt === undefined) return `${name} is missing`;
    if (commitment(salt, name, content) !== committed)
      return `${name} is not what was committed to`;
  }
  return '';
}

/** The texts that a leaf commits to, by name, as far as the sections say them. */
export function committedTexts(
  leaf: CommittingLeaf,
  payload: Pick<Payload, 'sections'>,
): Readonly<Record<string, string>> {
  const derived = leaf.kind === 'decision' ? derivedOfDecision(leaf as DecisionParts, payload) : {};
  const own = Object.entries(payload.sections).map(([name, value]) => [name, canonical(value)]);
  return { ...derived, ...(Object.fromEntries(own) as Record<string, string>) };
}

interface DecisionParts extends CommittingLeaf {
  readonly tenant: string;
  readonly tool: string;
  readonly upstream: string;
}

/** The parts of a decision that stand in no section of their own; untrusted, so nothing is assumed of the shape. */
function derivedOfDecision(
  { tenant, tool, upstream }: DecisionParts,
  { sections }: Pick<Payload, 'sections'>,
): Record<string, string> {
  const args = member(member(sections['input'], 'call'), 'arguments');
  const definitionHash = member(sections['evidence'], 'definition_hash');
  if (args === undefined || typeof definitionHash !== 'string') return {};
  const text = canonical(args);
  const call = callHash({ tenant, upstream, tool, definitionHash, argsHash: sha256(text) });
  return { arguments: text, call };
}

function member(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? value[name] : undefined;
}
