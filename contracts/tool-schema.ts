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

/** References followed for one call; arguments have 65,536 members at most. Without it 31 levels that double take hours. */
const STEPS_MAX = 100_000;
const TOO_COSTLY = 'the arguments take too much work to check';

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
/** They check schemas, and nothing else: to make such a check takes 20 ms, which a first call of a tool would wait for. */
const META = { draft07: new Ajv(OPTIONS), draft2020: new Ajv2020(OPTIONS) } as const;
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
    const [dialectOf, meta] = old ? [Ajv, META.draft07] : [Ajv2020, META.draft2020];
    void meta.validateSchema(rest, true);
    return bounded(new dialectOf({ ...OPTIONS, meta: false, validateSchema: false }), rest);
  } catch (error) {
    throw new UnusableSchema(error instanceof Error ? error.message : 'it does not compile');
  }
}

/** The check of a schema whose references are counted while it runs, and whose unique items cost one pass. */
function bounded(ajv: Ajv | Ajv2020, schema: JsonObject): ArgumentsCheck {
  let steps = 0;
  const step = (): true => {
    steps += 1;
    if (steps > STEPS_MAX) throw new RangeError(TOO_COSTLY);
    return true;
  };
  // Before it: what stands after a reference that does not hold is not looked at.
  for (const before of REFERENCE) {
    if (ajv.getKeyword(before) !== false)
      ajv.addKeyword({ keyword: STEP + before, before, validate: step, errors: false });
  }
  // The library's own compares each pair: 8,000 small objects held a worker for seconds.
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must NOT have duplicate items' },
    validate: (unique: boolean, items: Json[]) =>
      !unique || new Set(items.map(canonical)).size === items.length,
  });
  const validate = ajv.compile(counted(schema));
  return (value) => {
    steps = 0;
    try {
      if (validate(value)) return '';
    } catch (error) {
      if (error instanceof RangeError) return TOO_COSTLY; // by us, or the stack: a reference to itself
      throw error;
    }
    const [fault] = validate.errors ?? [];
    return `${fault?.instancePath ?? ''} ${fault?.message ?? 'does not fit'}`.trim();
  };
}

/** What stands there is data, not schema. */
const DATA = new Set(['const', 'default', 'enum', 'examples']);
/** What stands there are schemas by names of their own. */
const NAMED = new Set([
  '$defs',
  'definitions',
  'dependencies',
  'dependentSchemas',
  'patternProperties',
  'properties',
]);
const REFERENCE = new Set(['$ref', '$dynamicRef', '$recursiveRef']);
const STEP = 'countersign:';

/** The same schema with a step beside each reference. */
function counted(schema: JsonObject, named = false): JsonObject {
  const marked: JsonObject = {};
  for (const [name, part] of Object.entries(schema)) {
    if (!named && REFERENCE.has(name)) marked[STEP + name] = true;
    const data = !named && DATA.has(name);
    marked[name] = data ? part : countedPart(part, !named && NAMED.has(name));
  }
  return marked;
}

function countedPart(part: Json, named: boolean): Json {
  if (Array.isArray(part)) return part.map((one) => countedPart(one, false));
  return typeof part === 'object' && part !== null ? counted(part, named) : part;
}

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
