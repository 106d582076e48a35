/**
 * Facts that a bundle asks for: aliases with key templates, and the keys of one call.
 * A value fills exactly one encoded segment, so no argument of an agent can reach another tenant's, another
 * kind's or a wildcard key.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Compile as CompileJsonSchema } from 'typebox/schema';

import type { Json, JsonObject } from './json.ts';

export const FACTS_MAX = 32;
/** A key beyond this is nobody's key: the fact counts as missing. */
export const FACT_KEY_CHARS_MAX = 512;

const ALIAS_PATTERN = '^[a-z][a-z0-9_]{0,62}$';
const Template = Type.String({ minLength: 1, maxLength: 256 });

/**
 * Alias to key template; the long form makes a fact optional (then with a default of its own type) or states
 * its JSON Schema, which types the policy's check and which a value must fit to count as known.
 */
export const FactsDeclaration = Type.Record(
  Type.String({ pattern: ALIAS_PATTERN }),
  Type.Union([
    Template,
    Type.Object(
      {
        key: Template,
        required: Type.Optional(Type.Boolean()),
        default: Type.Optional(Type.Unsafe<Json>({})),
        schema: Type.Optional(Type.Unsafe<JsonObject>({ type: 'object' })),
      },
      { additionalProperties: false },
    ),
  ]),
  { additionalProperties: false, maxProperties: FACTS_MAX },
);
export type FactsDeclaration = Static<typeof FactsDeclaration>;

/** What a template may draw from: the parts of the input that are known before the facts. */
export interface FactSources {
  readonly call: {
    readonly tool: string;
    readonly upstream: string;
    readonly arguments: Readonly<Record<string, unknown>>;
  };
  readonly principal: {
    readonly tenant: string;
    readonly agent: string;
    readonly agent_class: string;
    readonly on_behalf_of: string;
    readonly workflow: string;
  };
  readonly intent: { readonly task: string };
  readonly session: { readonly id: string };
}

type Segment =
  | { readonly literal: string }
  /** Path of own member names below FactSources. */
  | { readonly path: readonly string[] };

export interface CompiledFact {
  readonly alias: string;
  readonly segments: readonly Segment[];
  readonly required: boolean;
  /** What an absent optional fact is; undefined when required. */
  readonly default: Json | undefined;
  /** Whether a stored value has the declared schema. One that has not counts as missing. */
  readonly fits: (value: Json) => boolean;
}
export type CompiledFacts = readonly CompiledFact[];

/** The key of one declared fact for one call; undefined when the call does not name it. */
export interface FactKey {
  readonly alias: string;
  readonly key: string | undefined;
  readonly required: boolean;
  readonly default: Json | undefined;
}

/** A declaration that cannot be used. Each problem starts with the alias that it is about. */
export class MalformedFacts extends Error {
  override readonly name = 'MalformedFacts';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`malformed facts: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

const declarationCheck = Compile(FactsDeclaration);

/** Facts ready for `factKeys`, in the order of their aliases. @throws MalformedFacts with every problem at once. */
export function compileFactKeys(declaration: unknown): CompiledFacts {
  if (!declarationCheck.Check(declaration)) {
    throw new MalformedFacts(
      declarationCheck
        .Errors(declaration)
        .map(({ instancePath, message }) => `${instancePath.slice(1)}: ${message}`),
    );
  }
  const problems: string[] = [];
  const facts = Object.keys(declaration)
    .sort()
    .map((alias) => {
      const stated = declaration[alias] ?? '';
      const fact = typeof stated === 'string' ? { key: stated } : stated;
      const compiled = compileFact(alias, fact);
      problems.push(...compiled.problems.map((problem) => `${alias}: ${problem}`));
      return compiled.fact;
    });
  if (problems.length > 0) throw new MalformedFacts(problems);
  return facts;
}

interface StatedFact {
  readonly key: string;
  readonly required?: boolean;
  readonly default?: Json;
  readonly schema?: JsonObject;
}

function compileFact(
  alias: string,
  stated: StatedFact,
): { fact: CompiledFact; problems: readonly string[] } {
  const problems: string[] = [];
  const required = stated.required ?? true;
  const segments = stated.key.split('/').map((segment) => {
    const parsed = parseSegment(segment);
    if (typeof parsed !== 'string') return parsed;
    problems.push(parsed);
    return { literal: '' };
  });
  const fits = fitter(stated.schema, problems);
  if (required && stated.default !== undefined) {
    problems.push('a required fact has no default; state "required": false');
  }
  if (!required && (stated.default === undefined || stated.default === null)) {
    problems.push('an optional fact needs a default of its type, and null is none');
  }
  if (!required && stated.default !== undefined && !fits(stated.default)) {
    problems.push('the default does not fit the schema');
  }
  return { fact: { alias, segments, required, default: stated.default, fits }, problems };
}

const LITERAL = /^[A-Za-z0-9_-]+$/;
const PLACEHOLDER = /^\{([A-Za-z0-9_.-]+)\}$/;
const ARGUMENT = /^call\.arguments(\.[A-Za-z0-9_-]+)+$/;
const SOURCES: ReadonlySet<string> = new Set([
  'call.tool',
  'call.upstream',
  'principal.tenant',
  'principal.agent',
  'principal.agent_class',
  'principal.on_behalf_of',
  'principal.workflow',
  'intent.task',
  'session.id',
]);

/** A segment of a template, or what is wrong with it. */
function parseSegment(segment: string): Segment | string {
  if (LITERAL.test(segment)) return { literal: segment };
  const source = PLACEHOLDER.exec(segment)?.[1];
  if (source === undefined) {
    return `segment "${segment}" is neither a plain name nor one whole {placeholder}`;
  }
  if (!SOURCES.has(source) && !ARGUMENT.test(source)) {
    return `{${source}} is not one of ${[...SOURCES].join(', ')}, call.arguments.<path>`;
  }
  return { path: source.split('.') };
}

/**
 * References could pull in documents that the bundle's digest does not cover, a pattern could take exponential time.
 * (That the schema itself runs no code is TypeBox's: it takes a keyword of the wrong type for none.)
 */
const REFUSED_KEYWORD = /"(\$ref|\$dynamicRef|\$recursiveRef|\$id|pattern|patternProperties)":/;

function fitter(schema: JsonObject | undefined, problems: string[]): (value: Json) => boolean {
  if (schema === undefined) return (value) => value !== null;
  if (REFUSED_KEYWORD.test(JSON.stringify(schema))) {
    problems.push('a schema of a fact has no references and no patterns');
    return () => false;
  }
  try {
    const check = CompileJsonSchema(schema);
    return (value) => value !== null && check.Check(value);
  } catch (cause) {
    problems.push(`not a JSON Schema: ${cause instanceof Error ? cause.message : 'unknown fault'}`);
    return () => false;
  }
}

/** The keys to look up for one call, in the order of the aliases. Pure, and never throws. */
export function factKeys(facts: CompiledFacts, sources: FactSources): FactKey[] {
  return facts.map(({ alias, segments, required, default: value }) => ({
    alias,
    key: keyOf(segments, sources),
    required,
    default: value,
  }));
}

function keyOf(segments: readonly Segment[], sources: FactSources): string | undefined {
  let key = '';
  for (const segment of segments) {
    const part = 'literal' in segment ? segment.literal : encodeSegment(at(segment.path, sources));
    if (part === undefined) return undefined;
    key += key === '' ? part : `/${part}`;
  }
  return key.length <= FACT_KEY_CHARS_MAX ? key : undefined;
}

/** untrusted: the value at a path of own members, or undefined. Arrays are not walked. */
function at(path: readonly string[], sources: object): unknown {
  let value: unknown = sources;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** One key segment for a non-empty string or an integer; anything else names nothing. */
function encodeSegment(value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : undefined;
  if (typeof value !== 'string' || value === '') return undefined;
  if (PLAIN.test(value)) return value;
  return value.isWellFormed() ? escapeBytes(value) : undefined;
}

const PLAIN = /^[A-Za-z0-9_-]+$/;
const PLAIN_BYTE = /[A-Za-z0-9_-]/;

/** UTF-8 with every byte but [A-Za-z0-9_-] as `=XX`: '=' is allowed in a NATS key, '%' is not. */
function escapeBytes(text: string): string {
  let escaped = '';
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    escaped += PLAIN_BYTE.test(character)
      ? character
      : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return escaped;
}

/**
 * The stored key of a fact that an operator names in plain text (`people/ann@example.com`): each segment encoded
 * as a call's values are. Undefined for a name that no call could reach (empty segment, too long).
 */
export function factKeyOf(name: string): string | undefined {
  const parts = name.split('/').map(encodeSegment);
  if (parts.some((part) => part === undefined)) return undefined;
  const key = parts.join('/');
  return key.length <= FACT_KEY_CHARS_MAX ? key : undefined;
}
