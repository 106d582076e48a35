/**
 * What of a payload is shown and exported. Values are masked unless a rule shows them; names, nesting and lengths of
 * arrays stay. A masked payload says which of its sections are masked, and has salts only for the others: those are
 * still held to their commitments, and nothing that is masked can be guessed by its hash.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { parseCanonical } from './canonical-text.ts';
import { asJson, canonical, type Json } from './json.ts';
import { type CommittingLeaf, committedTexts, parsePayload, Payload } from './payload.ts';
import { commitment, sha256 } from './record.ts';

const closed = { additionalProperties: false } as const;
const glob = (description: string) =>
  Type.Unsafe<string>({
    type: 'string',
    pattern: '^[^*\\u0000-\\u001f]*(\\*[^*\\u0000-\\u001f]*){0,3}$',
    minLength: 1,
    maxLength: 128,
    description,
  });

/** Which values, and what is shown of them. */
export const RedactionRule = Type.Object(
  {
    do: Type.Union(
      [Type.Literal('show'), Type.Literal('mask'), Type.Literal('hash'), Type.Literal('last')],
      {
        description:
          'show: as it is. mask: its type only. hash: a keyed hash, equal for equal values of the tenant. last: its last characters.',
      },
    ),
    n: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 8, description: 'Of last: how many. Default 4.' }),
    ),
    path: Type.Optional(
      Type.String({
        pattern: '^(\\$\\.)?[^.*\\u0000-\\u001f]+(\\.[^.\\u0000-\\u001f]+)*$',
        maxLength: 256,
        description:
          'Section and names below it, such as input.call.arguments.order_id; * is any one name or place in an array. ' +
          'What lies below is meant too.',
      }),
    ),
    key: Type.Optional(glob('Name of a member at any depth, * for any characters, in any case.')),
    tool: Type.Optional(glob('Only records of calls of this tool, * for any characters.')),
  },
  { ...closed, minProperties: 2 },
);
export type RedactionRule = Static<typeof RedactionRule>;

/** The first rule that fits a value decides; with none it is masked. */
export const Redaction = Type.Object(
  { rules: Type.Array(RedactionRule, { maxItems: 200 }) },
  { ...closed, description: 'What is shown of payloads. Secrets never are.' },
);
export type Redaction = Static<typeof Redaction>;

/** A payload as it is shown: `masked` names the sections in which anything is. */
export const MaskedPayload = Type.Object(
  { masked: Type.Array(Type.String()), ...Payload.properties },
  closed,
);
export type MaskedPayload = Static<typeof MaskedPayload>;

/** What stands where a text was masked. */
export const MASKED_TEXT = '[string]';
/** What a masked value gives way to. Says the type; null is its own. */
const MASKS = { string: MASKED_TEXT, number: '[number]', boolean: '[boolean]' } as const;

/** Names whose values are secrets whatever a rule says; words are parted by case, `_`, `-`, digits. */
const SECRET_NAME =
  /(?:^|[^a-z])(?:pass(?:word|wd|phrase|code)?|pwd|secrets?|tokens?|api_?keys?|private_?keys?|access_?keys?|authorization|cookies?|credentials?|otp|pin|cvv|cvc)(?:[^a-z]|$)/;
const SECRET_VALUE =
  /-----BEGIN |\beyJ[\w-]{8,}\.[\w-]+|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{16,}|\bbearer [\w.~+/-]{8,}/i;

/** What our own code wrote, and ids that the leaf says as well. Behind the rules of the tenant, which may mask it. */
const OWN: readonly RedactionRule[] = [
  'evidence.checks',
  'evidence.definition_hash',
  'evidence.detail',
  'evidence.identity.issuer',
  'evidence.lifted',
  'evidence.output.floor.verdict',
  'evidence.output.tenant.reason',
  'evidence.output.tenant.verdict',
  'input.call.schema',
  'input.call.tool',
  'input.call.upstream',
  'input.capability.expires_at',
  'input.capability.id',
  'input.capability.issued_at',
  'input.capability.root_id',
  'input.facts_revision',
  'input.mode',
  'input.principal.actors',
  'input.principal.agent',
  'input.time',
].map((path) => ({ do: 'show', path }));

export interface Redactor {
  /** Digest of the rules. */
  readonly rules: string;
  /** The payload line of a record as it is shown: canonical text of a MaskedPayload. */
  readonly mask: (leaf: CommittingLeaf, payload: string) => string;
}

/** @param keyed a keyed hash of a text, for what is shown as a hash */
export function redactor({ rules }: Redaction, keyed: (text: string) => string): Redactor {
  const all = [...rules, ...OWN].map(compiled);
  return {
    rules: sha256(canonical(rules)),
    mask: (leaf, text) => {
      const payload = parsePayload(text);
      // Not a payload: nothing of it is shown, and whoever verifies sees that the sections are missing.
      if (payload === undefined) return maskedText({ masked: [], salts: {}, sections: {}, v: 1 });
      const { tool } = leaf as { readonly tool?: unknown };
      const fitting = all.filter((rule) => rule.ofTool(typeof tool === 'string' ? tool : ''));
      const shown = Object.entries(payload.sections).map(
        ([name, value]) => [name, masked(value, [name], { rules: fitting, keyed })] as const,
      );
      const hidden = shown
        .filter(([name, value]) => canonical(value) !== canonical(payload.sections[name] ?? null))
        .map(([name]) => name);
      const salts = Object.entries(payload.salts).filter(([name]) => isOpen(name, hidden));
      return maskedText({
        masked: hidden,
        salts: Object.fromEntries(salts),
        sections: Object.fromEntries(shown),
        v: 1,
      });
    },
  };
}

const maskedText = (payload: MaskedPayload): string => canonical(asJson(payload));

/** Sections from which what has no section of its own follows. */
const FOLLOWS_FROM: Readonly<Record<string, readonly string[]>> = {
  arguments: ['input'],
  call: ['evidence', 'input'],
};

/** Whether a committed text can still be known in full. */
const isOpen = (name: string, masked: readonly string[]): boolean =>
  !(FOLLOWS_FROM[name] ?? [name]).some((section) => masked.includes(section));

interface CompiledRule {
  readonly act: RedactionRule['do'];
  readonly n: number;
  readonly ofTool: (tool: string) => boolean;
  readonly fits: (path: readonly string[]) => boolean;
}

function compiled({ do: act, n = 4, path, key, tool }: RedactionRule): CompiledRule {
  const steps = path?.replace(/^\$\./, '').split('.') ?? [];
  const ofKey = key === undefined ? undefined : globbed(key);
  return {
    act,
    n,
    ofTool: tool === undefined ? () => true : globbed(tool),
    fits: (at) =>
      steps.length <= at.length &&
      steps.every((step, index) => step === '*' || step === at[index]) &&
      (ofKey === undefined || at.slice(1).some(ofKey)),
  };
}

function globbed(pattern: string): (text: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('.*')}$`, 'is');
  return (text) => expression.test(text);
}

interface Masking {
  readonly rules: readonly CompiledRule[];
  readonly keyed: (text: string) => string;
}

function masked(value: Json, path: readonly string[], masking: Masking): Json {
  if (value === null) return null;
  if (Array.isArray(value))
    return value.map((one, index) => masked(one, [...path, String(index)], masking));
  if (typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, masked(one, [...path, name], masking)]),
    );
  }
  return maskedScalar(value, path, masking);
}

function maskedScalar(
  value: string | number | boolean,
  path: readonly string[],
  { rules, keyed }: Masking,
): Json {
  const rule = rules.find(({ fits }) => fits(path));
  const mask = MASKS[typeof value as keyof typeof MASKS];
  if (rule === undefined || rule.act === 'mask' || isSecret(value, path)) return mask;
  if (rule.act === 'show') return value;
  if (rule.act === 'hash') return `[hash:${keyed(canonical(value))}]`;
  const characters = Array.from(String(value));
  // Less than half of it, or the end would be the whole.
  return characters.length > 2 * rule.n ? `[...${characters.slice(-rule.n).join('')}]` : mask;
}

function isSecret(value: string | number | boolean, path: readonly string[]): boolean {
  if (typeof value === 'string' && SECRET_VALUE.test(value)) return true;
  return path.some((name) =>
    SECRET_NAME.test(name.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toLowerCase()),
  );
}

const check = Compile(MaskedPayload);

/** Undefined for a text that is no masked payload. */
export function parseMasked(text: string): MaskedPayload | undefined {
  const value = parseCanonical(text);
  return check.Check(value) ? value : undefined;
}

/**
 * What keeps a masked payload from being one of this leaf, empty when nothing does. What is masked is not proved; every
 * other section is, and a section that is neither is a fault.
 */
export function maskedFault(leaf: CommittingLeaf, text: string): string {
  const payload = parseMasked(text);
  if (payload === undefined) return 'the masked payload is malformed';
  const { masked: hidden, salts, sections } = payload;
  const { commitments } = leaf;
  for (const name of [...Object.keys(sections), ...Object.keys(salts)]) {
    if (!Object.hasOwn(commitments, name)) return `${name} is not committed to`;
  }
  for (const name of hidden) if (!Object.hasOwn(sections, name)) return `${name} is missing`;
  const texts = committedTexts(leaf, payload);
  for (const [name, committed] of Object.entries(commitments)) {
    const salt = salts[name];
    if (!isOpen(name, hidden)) {
      if (salt !== undefined) return `${name} is masked and has a salt`;
      continue;
    }
    const content = texts[name];
    if (content === undefined || salt === undefined) return `${name} is missing`;
    if (commitment(salt, name, content) !== committed)
      return `${name} is not what was committed to`;
  }
  return '';
}
