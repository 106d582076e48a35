/**
 * What a policy may use: the builtins that OPA compiles into the module and those that this host adds, less
 * what does not answer as the Go evaluator does (test/vectors/rego holds the cases). `opa` gets it as
 * policies/capabilities.json for check, test and build, so a policy never compiles that could not run.
 */
import { HOST_BUILTINS } from './builtins.ts';

/** Compiled in by OPA 1.22.0 (internal/compiler/wasm/wasm.go). */
export const NATIVE_BUILTINS: readonly string[] = `
  abs all and any array.concat array.flatten array.reverse array.slice base64.decode base64.encode
  base64.is_valid base64url.decode base64url.encode bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor
  ceil concat contains count div endswith equal floor format_int glob.match graph.reachable gt gte indexof
  internal.member_2 internal.member_3 internal.template_string intersection is_array is_boolean is_null
  is_number is_object is_set is_string json.filter json.is_valid json.marshal json.remove json.unmarshal
  lower lt lte max min minus mul neq net.cidr_contains net.cidr_intersects net.cidr_overlap numbers.range
  object.filter object.get object.keys object.remove object.union object.union_n or plus product re_match
  regex.find_all_string_submatch_n regex.is_valid regex.match rem replace round set_diff sort split
  startswith strings.replace_n strings.reverse substring sum to_number trim trim_left trim_prefix trim_right
  trim_space trim_suffix type_name union upper walk`
  .trim()
  .split(/\s+/);

/** Not calls at all once compiled: assignment and unification, tests, and prints, which a build leaves out. */
const LANGUAGE = ['assign', 'eq', 'internal.print', 'internal.test_case', 'print'];

const DEPRECATED = 'Rego v1 has no such function';
const RANDOM = 'a decision must be repeatable';

const NO_KEYS = 'a policy holds no keys and makes no tokens';
const COMPILER = 'it needs annotations, which are left out of what decides';
const OTHER_WORDS = 'its messages differ from those of the Go evaluator';

/** What an author might reach for, and why it is refused. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  all: DEPRECATED,
  any: DEPRECATED,
  re_match: DEPRECATED,
  set_diff: DEPRECATED,
  'net.cidr_overlap': DEPRECATED,
  'http.send': 'a policy sees only its input; declare what it needs as facts',
  'net.lookup_ip_addr': 'a policy sees only its input; declare what it needs as facts',
  'opa.runtime': 'a policy sees only its input',
  'rand.intn': RANDOM,
  'uuid.rfc4122': RANDOM,
  'io.jwt.encode_sign': NO_KEYS,
  'io.jwt.encode_sign_raw': NO_KEYS,
  'rego.metadata.chain': COMPILER,
  'rego.metadata.rule': COMPILER,
  'json.match_schema': `${OTHER_WORDS}; register a schema for the tool`,
  'json.verify_schema': `${OTHER_WORDS}; register a schema for the tool`,
};

/** Why a policy may not use a function, or undefined for a name that nobody left out on purpose. */
export const whyLeftOut = (name: string): string | undefined =>
  Object.hasOwn(LEFT_OUT, name) ? LEFT_OUT[name] : undefined;

/** Every builtin that a policy may name, sorted. */
export const ADMITTED_BUILTINS: readonly string[] = [
  ...new Set([
    ...NATIVE_BUILTINS.filter((name) => whyLeftOut(name) === undefined),
    ...HOST_BUILTINS,
    ...LANGUAGE,
  ]),
].sort();

interface Declared {
  readonly name: string;
  readonly decl: unknown;
  readonly [more: string]: unknown;
}

/** The answer of `opa capabilities --current`, as far as it is used. */
export interface OpaCapabilities {
  readonly builtins: readonly Declared[];
}

/** The capabilities file for the `opa` that gave `current`. Throws when that version lacks an admitted builtin. */
export function capabilitiesFrom(current: OpaCapabilities): object {
  const builtins = ADMITTED_BUILTINS.map((name) => {
    const builtin = current.builtins.find((one) => one.name === name);
    if (builtin === undefined) throw new Error(`this version of opa has no ${name}`);
    const { decl, infix, relation, nondeterministic } = builtin;
    return { name, decl: withoutProse(decl), infix, relation, nondeterministic };
  });
  return {
    builtins,
    features: ['keywords_in_refs', 'rego_v1', 'rego_v2', 'rego_v2_import', 'template_strings'],
    future_keywords: ['and', 'not', 'or'],
    allow_net: [],
  };
}

/** Types without names and descriptions of operands: a tenth of the size. */
function withoutProse(type: unknown): unknown {
  if (Array.isArray(type)) return type.map(withoutProse);
  if (typeof type !== 'object' || type === null) return type;
  return Object.fromEntries(
    Object.entries(type)
      .filter(([name]) => name !== 'name' && name !== 'description')
      .map(([name, value]) => [name, withoutProse(value)]),
  );
}
