/**
 * What a compiled policy runs in: its memory, the functions that it asks its host for, and the order in which it
 * meets the members of sets and objects (OPA's WASM ABI 1.x, https://www.openpolicyagent.org/docs/wasm).
 */
import { bindBuiltins, HOST_BUILTINS } from './builtins.ts';
import type { DecisionClock } from './builtins.ts';
import { PolicyBundleError } from './bundle.ts';
import { TEXT_AT, ValueMemory } from './memory.ts';
import { NEXT_KEY, REDIRECTS_SECTION } from './redirect.ts';
import { literal, type Rego } from './values.ts';

/** What we call on an instance. */
export interface Abi {
  readonly opa_heap_ptr_get: () => number;
  readonly opa_heap_ptr_set: (address: number) => void;
  readonly opa_malloc: (bytes: number) => number;
  readonly opa_json_parse: (address: number, bytes: number) => number;
  readonly opa_json_dump: (value: number) => number;
  readonly opa_value_parse: (address: number, bytes: number) => number;
  readonly opa_eval_ctx_new: () => number;
  readonly opa_eval_ctx_set_input: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_data: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_entrypoint: (context: number, id: number) => void;
  readonly opa_eval_ctx_get_result: (context: number) => number;
  readonly eval: (context: number) => number;
  readonly builtins: () => number;
  readonly entrypoints: () => number;
  readonly opa_wasm_abi_version: { readonly value: number };
}

/** A module that is loaded with its data. */
export interface Instance {
  readonly abi: Abi;
  readonly memory: WebAssembly.Memory;
  readonly dataAddress: number;
  readonly heapStart: number;
  readonly entrypoints: Readonly<Record<string, number>>;
  /** To be called before each evaluation. */
  readonly forget: () => void;
  /** A value of the module as JSON.parse would give it. */
  readonly plain: (address: number) => unknown;
}

export interface Surroundings {
  /** JSON. */
  readonly data: Uint8Array;
  readonly clock: DecisionClock;
  /** Pages that the memory may have. */
  readonly pages: { readonly initial: number; readonly maximum: number };
}

/** The module gave up; the message is its own. */
export class ModuleAbort extends Error {
  override readonly name = 'ModuleAbort';
}

const encoder = new TextEncoder();

/** A started instance. @throws PolicyBundleError, or WebAssembly.LinkError when the memory is too small */
export function instantiate(module: WebAssembly.Module, around: Surroundings): Instance {
  const memory = new WebAssembly.Memory(around.pages);
  const values = new ValueMemory(memory);
  const calls: Host[] = [];
  const call = (id: number, _context: number, ...operands: number[]): number => {
    const host = calls[id];
    if (host === undefined) throw new Error(`no function ${id}`);
    return host(operands);
  };
  const abort = (at: number): never => {
    throw new ModuleAbort(values.text(at));
  };
  const env = {
    memory,
    opa_abort: abort,
    opa_println: () => {},
    opa_builtin0: call,
    opa_builtin1: call,
    opa_builtin2: call,
    opa_builtin3: call,
    opa_builtin4: call,
  };
  const abi = new WebAssembly.Instance(module, { env }).exports as unknown as Abi;
  if (abi.opa_wasm_abi_version.value !== 1) {
    throw new PolicyBundleError('unusable', 'compiled for another ABI');
  }
  const order = inOrder(values);
  const functions = bindFunctions(abi, values, around.clock);
  const provide = (id: number, name: string) => {
    const host = name === NEXT_KEY ? order.next : functions[name];
    if (host === undefined) {
      throw new PolicyBundleError('unusable', `needs unknown builtins: ${name}`);
    }
    calls[id] = host;
  };
  // The first ones are called already when the module says which others it needs.
  for (const [id, name] of Object.entries(redirectsOf(module))) provide(Number(id), name);
  const needed = JSON.parse(values.text(abi.opa_json_dump(abi.builtins()))) as Record<
    string,
    number
  >;
  for (const [name, id] of Object.entries(needed)) provide(id, name);
  const dataAddress = write(abi, memory, around.data);
  if (dataAddress === 0) throw new PolicyBundleError('unusable', 'the data does not load');
  order.forget();
  order.settle(abi.opa_heap_ptr_get());
  values.settle(abi.opa_heap_ptr_get());
  return {
    abi,
    memory,
    dataAddress,
    heapStart: abi.opa_heap_ptr_get(),
    entrypoints: JSON.parse(values.text(abi.opa_json_dump(abi.entrypoints()))) as Record<
      string,
      number
    >,
    forget: order.forget,
    plain: (address) => {
      values.refresh();
      return values.plain(address);
    },
  };
}

/** A function of the host over addresses; 0 is Rego's undefined. */
type Host = (operands: readonly number[]) => number;

/** Ids and names of what redirect.ts sends here. */
function redirectsOf(module: WebAssembly.Module): Record<string, string> {
  const [section] = WebAssembly.Module.customSections(module, REDIRECTS_SECTION);
  if (section === undefined) return {};
  return JSON.parse(Buffer.from(section).toString()) as Record<string, string>;
}

function bindFunctions(abi: Abi, values: ValueMemory, clock: DecisionClock): Record<string, Host> {
  const bound = bindBuiltins(clock);
  const functions: Record<string, Host> = {};
  for (const name of HOST_BUILTINS) {
    functions[name] = (operands) => {
      values.refresh();
      const value = bound[name]?.(operands.map((at) => values.read(at)));
      if (value === undefined) return 0;
      return writeValue(abi, values, value);
    };
  }
  return functions;
}

function writeValue(abi: Abi, values: ValueMemory, value: Rego): number {
  if (typeof value === 'string' || typeof value === 'boolean' || isShort(value)) {
    // A unit of UTF-16 takes at most three bytes in UTF-8.
    const at = abi.opa_malloc(TEXT_AT + (typeof value === 'string' ? value.length * 3 : 0));
    values.place(at, value);
    return at;
  }
  return writeLiteral(abi, values, value);
}

/** The module's own arithmetic reads 32 bits of a number that is kept as an integer. */
const isShort = (value: Rego): value is bigint =>
  typeof value === 'bigint' && BigInt.asIntN(32, value) === value;

function writeLiteral(abi: Abi, values: ValueMemory, given: Rego): number {
  const bytes = encoder.encode(literal(given));
  const address = abi.opa_malloc(bytes.length);
  values.put(address, bytes);
  const value = abi.opa_value_parse(address, bytes.length);
  if (value === 0) throw new Error('the answer of a builtin is not a value');
  return value;
}

/** A JSON text as a value of the module; 0 when it is none. */
export function write(abi: Abi, memory: WebAssembly.Memory, json: Uint8Array): number {
  const address = abi.opa_malloc(json.length);
  new Uint8Array(memory.buffer).set(json, address);
  return abi.opa_json_parse(address, json.length);
}

interface Walk {
  /** Addresses of the keys as they stand in memory, to see that it is the same collection still. */
  readonly found: readonly number[];
  readonly keys: readonly number[];
  /** Where the last step was: the next one goes on from there. */
  at: number;
}

/**
 * Steps through sets and objects in Rego's order. What it has sorted it keeps: of the data (below `heapStart`)
 * for good, of an evaluation until the next one.
 */
function inOrder(values: ValueMemory) {
  const ofData = new Map<number, Walk>();
  const ofEvaluation = new Map<number, Walk>();
  let heapStart = 0;

  const begin = (node: number): Walk => {
    const walks = node < heapStart ? ofData : ofEvaluation;
    const known = walks.get(node);
    const found = values.keys(node);
    if (known !== undefined && same(known.found, found)) return known;
    const walk = { found, keys: values.inOrder(found), at: 0 };
    walks.set(node, walk);
    return walk;
  };
  const next: Host = ([node = 0, previous = 0]) => {
    values.refresh();
    if (previous === 0) {
      const walk = begin(node);
      walk.at = 0;
      return walk.keys[0] ?? 0;
    }
    const walk = (node < heapStart ? ofData : ofEvaluation).get(node) ?? begin(node);
    if (walk.keys[walk.at] !== previous) walk.at = values.position(walk.keys, previous);
    walk.at += 1;
    return walk.keys[walk.at] ?? 0;
  };
  return {
    next,
    forget: () => ofEvaluation.clear(),
    settle: (start: number) => {
      heapStart = start;
    },
  };
}

const same = (left: readonly number[], right: readonly number[]): boolean =>
  left.length === right.length && left.every((one, at) => one === right[at]);
