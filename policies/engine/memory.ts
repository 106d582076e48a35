/** Reads Rego values where a module keeps them (OPA's wasm/src/value.h, the layout of OPA 1.x). */
import {
  compare,
  isNumber,
  numberOf,
  printed,
  type Rego,
  RegoObject,
  RegoSet,
  textOf,
} from './values.ts';

const TYPE = {
  null: 1,
  boolean: 2,
  number: 3,
  string: 4,
  array: 5,
  object: 6,
  set: 7,
  internedString: 8,
  internedBoolean: 9,
} as const;
const INTEGER = 1;
/** Bytes of a placed value before its text; a number and a truth value need no more. */
export const TEXT_AT = 16;

const decoder = new TextDecoder();

/** A view of one memory that grows. */
export class ValueMemory {
  readonly #memory: WebAssembly.Memory;
  #view: DataView;
  #bytes: Buffer;
  /** Below it stands what no evaluation changes: the module's constants and its data. */
  #heapStart = 0;
  readonly #constants = new Map<number, Rego>();

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#bytes = Buffer.from(memory.buffer);
  }

  /** To be called before reading values: growing replaces the buffer. */
  refresh(): void {
    if (this.#view.buffer === this.#memory.buffer) return;
    this.#view = new DataView(this.#memory.buffer);
    this.#bytes = Buffer.from(this.#memory.buffer);
  }

  /** Text up to the NUL at its end. */
  text(at: number): string {
    this.refresh();
    return decoder.decode(this.#bytes.subarray(at, this.#bytes.indexOf(0, at)));
  }

  /** Writes bytes. */
  put(at: number, bytes: Uint8Array): void {
    this.refresh();
    this.#bytes.set(bytes, at);
  }

  /** Says where the heap begins: what stands before it is read once. */
  settle(heapStart: number): void {
    this.#heapStart = heapStart;
  }

  /** Makes `at` a text, a truth value or a whole number of 32 bits: the few that are written without parsing. */
  place(at: number, value: string | boolean | bigint): void {
    this.refresh();
    if (typeof value === 'string') {
      const length = this.#bytes.write(value, at + TEXT_AT);
      this.#view.setUint16(at, TYPE.string, true);
      this.#view.setUint32(at + 4, length, true);
      this.#view.setUint32(at + 8, at + TEXT_AT, true);
    } else if (typeof value === 'boolean') {
      this.#view.setUint16(at, TYPE.boolean | (value ? 0x100 : 0), true);
    } else {
      this.#view.setUint16(at, TYPE.number | (INTEGER << 8), true);
      this.#view.setBigInt64(at + 8, value, true);
    }
  }

  /** A value as JSON.parse would give it; sets are lists in order. */
  plain(at: number): unknown {
    const type = this.#view.getUint8(at);
    if (type === TYPE.array) {
      const [elements, length] = [this.#word(at + 4), this.#word(at + 8)];
      return Array.from({ length }, (_, index) => this.plain(this.#word(elements + index * 8 + 4)));
    }
    if (type === TYPE.set) return this.inOrder(this.keys(at)).map((one) => this.plain(one));
    if (type === TYPE.object) return this.#plainObject(at);
    const value = this.read(at);
    return isNumber(value) ? Number(textOf(value)) : value;
  }

  #plainObject(at: number): Record<string, unknown> {
    const members: Record<string, unknown> = {};
    for (const element of this.#elements(at)) {
      const key = this.read(this.#word(element));
      const name = typeof key === 'string' ? key : printed(key);
      const value = this.plain(this.#word(element + 4));
      // Assigned, it would set the prototype.
      if (name === '__proto__') Object.defineProperty(members, name, { value, enumerable: true });
      else members[name] = value;
    }
    return members;
  }

  /** Addresses of the keys of a set or object, as they stand. */
  keys(at: number): number[] {
    return this.#elements(at).map((element) => this.#word(element));
  }

  /** Addresses of values, in Rego's order. */
  inOrder(addresses: readonly number[]): number[] {
    return addresses
      .map((one) => [one, this.read(one)] as const)
      .sort(([, a], [, b]) => compare(a, b))
      .map(([one]) => one);
  }

  /** Where among values one stands, by address or else by value. Throws when it is not among them. */
  position(addresses: readonly number[], of: number): number {
    const at = addresses.indexOf(of);
    if (at >= 0) return at;
    const value = this.read(of);
    const equal = addresses.findIndex((one) => compare(this.read(one), value) === 0);
    if (equal < 0) throw new Error('a collection changed while it was walked');
    return equal;
  }

  read(at: number): Rego {
    if (at >= this.#heapStart) return this.#read(at);
    let value = this.#constants.get(at);
    if (value === undefined) {
      value = this.#read(at);
      this.#constants.set(at, value);
    }
    return value;
  }

  #read(at: number): Rego {
    const type = this.#view.getUint8(at);
    switch (type) {
      case TYPE.null:
        return null;
      case TYPE.boolean:
      case TYPE.internedBoolean:
        return this.#view.getUint8(at + 1) !== 0;
      case TYPE.number:
        return this.#number(at);
      case TYPE.string:
      case TYPE.internedString:
        return this.#string(this.#word(at + 8), this.#word(at + 4));
      case TYPE.array:
        return this.#list(this.#word(at + 4), this.#word(at + 8));
      case TYPE.object:
        return new RegoObject(
          this.#elements(at).map((element) => [
            this.read(this.#word(element)),
            this.read(this.#word(element + 4)),
          ]),
        );
      case TYPE.set:
        return new RegoSet(this.#elements(at).map((element) => this.read(this.#word(element))));
      default:
        throw new Error(`a value of unknown type ${type}`);
    }
  }

  #word(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #string(at: number, length: number): string {
    return this.#bytes.toString('utf8', at, at + length);
  }

  #number(at: number): Rego {
    if (this.#view.getUint8(at + 1) === INTEGER) return this.#view.getBigInt64(at + 8, true);
    return numberOf(this.#string(this.#word(at + 8), this.#word(at + 12)));
  }

  #list(elements: number, length: number): Rego[] {
    return Array.from({ length }, (_, index) => this.read(this.#word(elements + index * 8 + 4)));
  }

  /** Addresses of the elements: chains of as many buckets as there are. */
  #elements(at: number): number[] {
    const next = this.#view.getUint8(at) === TYPE.object ? 8 : 4;
    const [buckets, count] = [this.#word(at + 4), this.#word(at + 8)];
    const elements: number[] = [];
    for (let bucket = 0; bucket < count; bucket++) {
      for (let one = this.#word(buckets + bucket * 4); one !== 0; one = this.#word(one + next)) {
        elements.push(one);
      }
    }
    return elements;
  }
}
