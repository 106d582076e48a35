/**
 * Schemas as the OpenAPI documents show them: the same values, in the forms that generators of clients understand. A
 * choice of constants that is no `enum` becomes a type that only fits its first word, and an object without members
 * one that takes none.
 */
type Schema = Readonly<Record<string, unknown>>;

/** Keywords that say which members an object has. */
const MEMBERS = ['properties', 'patternProperties', 'additionalProperties', 'propertyNames'];
/** The pattern of a record with any names. */
const ANY_NAME = '^.*$';

/** The document with every schema in it rewritten; everything else stays. */
export function published(document: unknown): unknown {
  if (Array.isArray(document)) return document.map(published);
  if (typeof document !== 'object' || document === null) return document;
  const members = Object.entries(document).map(([name, value]) => [name, published(value)]);
  return open(record(choice(Object.fromEntries(members) as Schema)));
}

/** `anyOf` of constants of one type as an `enum`. */
function choice(schema: Schema): Schema {
  const { anyOf, ...rest } = schema;
  if (!Array.isArray(anyOf)) return schema;
  const [{ type } = {}] = anyOf as Schema[];
  const constants = (anyOf as Schema[]).every(
    (option) => 'const' in option && option['type'] === type && Object.keys(option).length === 2,
  );
  return constants
    ? { type, enum: anyOf.map((option: Schema) => option['const']), ...rest }
    : schema;
}

/** Members by the pattern of their names, as far as no others are allowed or the pattern takes every name. */
function record(schema: Schema): Schema {
  const { patternProperties, additionalProperties, ...rest } = schema;
  const [[pattern, value] = [], ...more] = Object.entries(patternProperties ?? {});
  if (pattern === undefined || more.length > 0 || 'properties' in rest) return schema;
  if (pattern === ANY_NAME) return { ...rest, additionalProperties: value };
  if (additionalProperties !== false) return schema;
  return { ...rest, propertyNames: { type: 'string', pattern }, additionalProperties: value };
}

/** An object of which nothing is said takes any members. */
const open = (schema: Schema): Schema =>
  schema['type'] === 'object' && !MEMBERS.some((keyword) => keyword in schema)
    ? { ...schema, additionalProperties: true }
    : schema;
