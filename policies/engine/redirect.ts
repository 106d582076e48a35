/**
 * Sends functions that OPA compiles into a module to the host instead, where the compiled ones answer otherwise
 * than the Go evaluator. What is rewritten is the module (WebAssembly 1.0, binary format), so nothing that an
 * author can write, nor what the compiler makes of it, gets past. The sources stay as they are.
 */

/** A function that is sent to the host: OPA's name of it in the module, its Rego name, how many operands it takes. */
interface Redirected {
  readonly compiled: string;
  readonly name: string;
  readonly operands: number;
  /** Stays compiled while every operand is kept as an integer. */
  readonly unlessWhole?: boolean;
}

const row = (compiled: string, name: string, operands: number): Redirected => ({
  compiled,
  name,
  operands,
});
const arithmetic = (compiled: string, name: string, operands: number): Redirected => ({
  ...row(compiled, name, operands),
  unlessWhole: true,
});

export const REDIRECTED: readonly Redirected[] = [
  arithmetic('opa_arith_plus', 'plus', 2),
  arithmetic('opa_arith_minus', 'minus', 2),
  arithmetic('opa_arith_multiply', 'mul', 2),
  row('opa_arith_divide', 'div', 2),
  arithmetic('opa_arith_rem', 'rem', 2),
  arithmetic('opa_arith_abs', 'abs', 1),
  arithmetic('opa_arith_round', 'round', 1),
  arithmetic('opa_arith_ceil', 'ceil', 1),
  arithmetic('opa_arith_floor', 'floor', 1),
  row('opa_agg_sum', 'sum', 1),
  row('opa_agg_product', 'product', 1),
  row('opa_base64_decode', 'base64.decode', 1),
  row('opa_base64_is_valid', 'base64.is_valid', 1),
  row('opa_base64_url_decode', 'base64url.decode', 1),
  row('opa_cidr_contains', 'net.cidr_contains', 2),
  row('opa_cidr_intersects', 'net.cidr_intersects', 2),
  row('opa_json_is_valid', 'json.is_valid', 1),
  row('opa_json_marshal', 'json.marshal', 1),
  row('opa_json_unmarshal', 'json.unmarshal', 1),
  row('builtin_object_union_n', 'object.union_n', 1),
  row('opa_regex_find_all_string_submatch', 'regex.find_all_string_submatch_n', 3),
  row('opa_regex_is_valid', 'regex.is_valid', 1),
  row('opa_regex_match', 'regex.match', 2),
  row('opa_strings_concat', 'concat', 2),
  row('opa_strings_format_int', 'format_int', 2),
  row('opa_strings_indexof', 'indexof', 2),
  row('opa_strings_replace', 'replace', 3),
  row('opa_strings_replace_n', 'strings.replace_n', 2),
  row('opa_template_string', 'internal.template_string', 1),
  row('opa_to_number', 'to_number', 1),
];
/** Iterates a collection: members of sets and objects in Rego's order, as the Go evaluator does. */
const ITERATE = 'opa_value_iter';
export const NEXT_KEY = 'next_key';
/** Ids of what a module asks of its own accord begin at 0. */
const FIRST_ID = 10_000;
/** Custom section that says which id means what; a module keeps it with its digest. */
export const REDIRECTS_SECTION = 'countersign.redirects';

const SECTION = { custom: 0, import: 2, function: 3, code: 10 } as const;
const OP = {
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  call: 0x10,
  localGet: 0x20,
  load: 0x28,
  load8: 0x2d,
  load16: 0x2f,
  constant: 0x41,
  ltu: 0x49,
  eq: 0x46,
  ne: 0x47,
  and: 0x71,
  or: 0x72,
  i32: 0x7f,
} as const;
/** How opa_value begins (OPA's wasm/src/value.h): its type, 6 or 7, and of a set or object at 12 how many members. */
const TYPE_OBJECT_OR_SET = 6;
const LENGTH_AT = 12;
const TYPE_WHOLE = 0x0103;

interface Section {
  readonly id: number;
  readonly body: Buffer;
}

/** The module with every function of the table that it has sent to the host. Throws when it is none. */
export function redirect(wasm: Uint8Array): Buffer {
  const bytes = Buffer.from(wasm);
  const sections = sectionsOf(bytes);
  const imports = importedFunctions(bodyOf(sections, SECTION.import));
  const types = new Reader(bodyOf(sections, SECTION.function)).list((from) => from.unsigned());
  const bodies = new Reader(bodyOf(sections, SECTION.code)).list((from) => from.block());
  const indexOf = new Map(namesOf(sections).map(([index, name]) => [name, index]));
  const ids: Record<string, string> = {};

  /** Appends the function that stands at `at` as another one; its index. */
  const keep = (at: number): number => {
    types.push(types[at] ?? 0);
    bodies.push(bodies[at] ?? Buffer.alloc(0));
    return imports.size + bodies.length - 1;
  };
  const send = ({ compiled, name, operands, unlessWhole = false }: Redirected) => {
    const at = (indexOf.get(compiled) ?? -1) - imports.size;
    const host = imports.get(`opa_builtin${operands}`);
    if (at < 0 || bodies[at] === undefined || host === undefined) return;
    const id = FIRST_ID + Object.keys(ids).length;
    ids[id] = name;
    const ask = [
      OP.constant,
      ...signed(id),
      OP.constant,
      0,
      ...pass(operands),
      OP.call,
      ...unsigned(host),
    ];
    // The original moves to the end, for what it answers well.
    const stays = unlessWhole ? wholeNumbers(operands) : inOnlyOneOrder;
    const body =
      unlessWhole || compiled === ITERATE
        ? choose(stays, [...pass(operands), OP.call, ...unsigned(keep(at))], ask)
        : ask;
    bodies[at] = Buffer.from([NO_LOCALS, ...body, OP.end]);
  };
  for (const one of [...REDIRECTED, row(ITERATE, NEXT_KEY, 2)]) send(one);

  const written = sections.map(({ id, body }) => {
    if (id === SECTION.function) return section(id, list(types.map((type) => unsigned(type))));
    if (id === SECTION.code) return section(id, list(bodies.map((one) => block(one))));
    return section(id, body);
  });
  const said = Buffer.concat([
    block(Buffer.from(REDIRECTS_SECTION)),
    Buffer.from(JSON.stringify(ids)),
  ]);
  return Buffer.concat([bytes.subarray(0, 8), ...written, section(SECTION.custom, said)]);
}

const NO_LOCALS = 0;

const pass = (operands: number): number[] =>
  Array.from({ length: operands }, (_, at) => [OP.localGet, at]).flat();

const choose = (
  condition: readonly number[],
  then: readonly number[],
  otherwise: readonly number[],
) =>
  [
    [...condition, OP.if, OP.i32, ...then],
    [OP.else, ...otherwise, OP.end],
  ].flat();

/** Whether the value is neither set nor object, or has one member at most. */
const inOnlyOneOrder: readonly number[] = [
  [OP.localGet, 0, OP.load8, 0, 0, OP.constant, ...signed(0xfe), OP.and],
  [OP.constant, TYPE_OBJECT_OR_SET, OP.ne],
  [OP.localGet, 0, OP.load, 2, LENGTH_AT, OP.constant, 2, OP.ltu, OP.or],
].flat();

/** Whether each operand is a number that is kept as an integer: type and representation are its first two bytes. */
const wholeNumbers = (operands: number): readonly number[] =>
  Array.from({ length: operands }, (_, at) =>
    [
      [OP.localGet, at, OP.load16, 0, 0, OP.constant, ...signed(TYPE_WHOLE), OP.eq],
      at === 0 ? [] : [OP.and],
    ].flat(),
  ).flat();

/** Reads the binary format from front to back. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  /** LEB128. */
  unsigned(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  /** Bytes that say first how many they are. */
  block(): Buffer {
    const length = this.unsigned();
    if (this.#at + length > this.#bytes.length) throw new Error('the module is cut short');
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  list<One>(read: (from: this) => One): One[] {
    return Array.from({ length: this.unsigned() }, () => read(this));
  }
}

function sectionsOf(bytes: Buffer): Section[] {
  if (bytes.readUInt32LE(0) !== 0x6d736100) throw new Error('not a WASM module');
  const from = new Reader(bytes.subarray(8));
  const sections: Section[] = [];
  while (!from.done) sections.push({ id: from.byte(), body: from.block() });
  return sections;
}

const bodyOf = (sections: readonly Section[], id: number): Buffer =>
  sections.find((one) => one.id === id)?.body ?? Buffer.from([0]);

/** Name to index: imported functions come first. */
function importedFunctions(body: Buffer): Map<string, number> {
  const functions = new Map<string, number>();
  new Reader(body).list((from) => {
    from.block();
    const name = from.block().toString();
    const kind = from.byte();
    if (kind === 0) {
      from.unsigned();
      functions.set(name, functions.size);
    } else if (kind === 2) {
      // A memory: its limits, of which the second is there only when the flag says so.
      if (from.byte() === 1) from.unsigned();
      from.unsigned();
    } else {
      throw new Error('the module imports more than functions and a memory');
    }
  });
  return functions;
}

/** Index and name of each function, by the section that debuggers read. */
function namesOf(sections: readonly Section[]): [number, string][] {
  for (const { id, body } of sections) {
    const from = new Reader(body);
    if (id !== SECTION.custom || from.block().toString() !== 'name') continue;
    while (!from.done) {
      const kind = from.byte();
      const names = new Reader(from.block());
      if (kind === 1) return names.list((one) => [one.unsigned(), one.block().toString()]);
    }
  }
  return [];
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

/** Of a number that is not negative: one more byte where the last one would read as a sign. */
function signed(value: number): number[] {
  const bytes = unsigned(value);
  const last = bytes.at(-1) ?? 0;
  return last < 0x40 ? bytes : [...bytes.slice(0, -1), last | 0x80, 0];
}

const block = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(unsigned(bytes.length)), bytes]);
const list = (items: readonly (Buffer | number[])[]): Buffer =>
  Buffer.concat([Buffer.from(unsigned(items.length)), ...items.map((item) => Buffer.from(item))]);
const section = (id: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([id]), block(body)]);
