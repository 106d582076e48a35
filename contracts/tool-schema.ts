/**
 * Schemas of tools' arguments: which ones can be registered, and the check that calls meet. Tool servers in the field
 * write JSON Schema 2020-12 and draft-07; both are read. A schema is another program's text and is judged on an agent's
 * arguments, so what it may cost is bounded here.
 */
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';

import { canonical, type Json, type JsonObject } from './json.ts';
import { boundedRegExp } from './pattern-cost.ts';

export const TOOL_SCHEMA_LIMITS = { bytes: 64 * 1024, pattern: 512, references: 64 } as const;

/** A schema that cannot be used. `path` is the JSON pointer of the fault in it, '' for the whole. */
export class UnusableSchema extends Error {
  override readonly name = 'UnusableSchema';
  readonly path: string;

  constructor(message: string, path = '') {
    super(message);
    this.path = path;
  }
}

/** What is wrong with some arguments, as place and rule; empty = nothing. */
export type ArgumentsCheck = (value: JsonObject) => string;

/** A pattern that a walk over the schema did not reach is refused here. */
const regExp = Object.assign(
  (pattern: string) => {
    const expression = boundedRegExp(pattern);
    if (expression === undefined) throw new UnusableSchema('a pattern could take exponential time');
    return expression;
  },
  { code: 'undefined' },
);
/** Formats are not judged: the libraries of tool servers disagree about them. */
const OPTIONS = {
  strict: false,
  validateFormats: false,
  logger: false,
  code: { regExp },
} as const;
const DRAFT_07 = /^https?:\/\/json-schema\.org\/draft-0[67]\/schema#?$/;
const DRAFT_2020 = /^https?:\/\/json-schema\.org\/draft\/20(19-09|20-12)\/schema#?$/;

/** The check that a schema states. @throws UnusableSchema */
export function compileToolSchema(schema: JsonObject): ArgumentsCheck {
  if (Buffer.byteLength(canonical(schema)) > TOOL_SCHEMA_LIMITS.bytes) {
    throw new UnusableSchema(`a schema has at most ${TOOL_SCHEMA_LIMITS.bytes} bytes`);
  }
  boundCost(schema);
  const { $schema: dialect = '', ...rest } = schema;
  const old = typeof dialect === 'string' && DRAFT_07.test(dialect);
  if (!old && dialect !== '' && !(typeof dialect === 'string' && DRAFT_2020.test(dialect))) {
    throw new UnusableSchema('only JSON Schema 2020-12 and draft-07 are read', '/$schema');
  }
  try {
    const validate = (old ? new Ajv(OPTIONS) : new Ajv2020(OPTIONS)).compile(rest);
    return (value) => {
      if (validate(value)) return '';
      const [fault] = validate.errors ?? [];
      return `${fault?.instancePath ?? ''} ${fault?.message ?? 'does not fit'}`.trim();
    };
  } catch (error) {
    throw new UnusableSchema(error instanceof Error ? error.message : 'it does not compile');
  }
}

/** What stands there is data, not schema. */
const DATA = new Set(['const', 'default', 'enum', 'examples']);
const REFERENCE = new Set(['$ref', '$dynamicRef', '$recursiveRef']);

/** Walks everything that could be a schema. @throws UnusableSchema */
function boundCost(schema: JsonObject): void {
  let references = 0;
  const refer = (to: string, path: string): void => {
    if (!to.startsWith('#')) throw new UnusableSchema('it refers to another document', path);
    if (++references > TOOL_SCHEMA_LIMITS.references) {
      throw new UnusableSchema('it has too many references', path);
    }
  };
  const walk = (value: Json, path: string): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, part] of Object.entries(value)) {
      const at = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      if (REFERENCE.has(name) && typeof part === 'string') refer(part, at);
      if (name === 'pattern' && typeof part === 'string') boundPattern(part, at);
      if (name === 'patternProperties')
        Object.keys(part ?? {}).forEach((key) => boundPattern(key, at));
      if (!DATA.has(name)) walk(part, at);
    }
  };
  walk(schema, '');
}

function boundPattern(pattern: string, path: string): void {
  if (pattern.length > TOOL_SCHEMA_LIMITS.pattern) {
    throw new UnusableSchema(
      `a pattern has at most ${TOOL_SCHEMA_LIMITS.pattern} characters`,
      path,
    );
  }
  try {
    if (boundedRegExp(pattern) !== undefined) return;
  } catch (error) {
    throw new UnusableSchema(error instanceof Error ? error.message : 'not a pattern', path);
  }
  throw new UnusableSchema('this pattern could take exponential time', path);
}
