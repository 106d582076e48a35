/**
 * Arrays as parameters of a statement, in the binary form that Postgres reads (array_recv): nothing is escaped, and no
 * number becomes text on its way. The driver sends a Buffer as it is, so the statement MUST name the type: `$1::text[]`.
 */

const OID = { bytea: 17, bigint: 20, int: 23, text: 25 } as const;
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;

/** The database refuses text that holds a NUL. */
export function textArray(values: readonly string[]): Buffer {
  const sizes = values.map((value) => Buffer.byteLength(value));
  return arrayOf('text', sizes, (into, at, index) => void into.write(values[index] ?? '', at));
}

/** Texts that are encoded already. */
export const utf8Array = (values: readonly Uint8Array[]): Buffer => bytesArray('text', values);

export const byteaArray = (values: readonly Uint8Array[]): Buffer => bytesArray('bytea', values);

function bytesArray(type: 'text' | 'bytea', values: readonly Uint8Array[]): Buffer {
  const sizes = values.map(({ length }) => length);
  return arrayOf(type, sizes, (into, at, index) => into.set(values[index] ?? [], at));
}

/** @param values safe integers */
export function bigintArray(values: readonly number[]): Buffer {
  const sizes = values.map(() => 8);
  return arrayOf('bigint', sizes, (into, at, index) => {
    const value = values[index] ?? 0;
    into.writeInt32BE(Math.floor(value / 2 ** 32), at);
    into.writeUInt32BE(value >>> 0, at + 4);
  });
}

/** @param values integers of 32 bits */
export function intArray(values: readonly number[]): Buffer {
  const sizes = values.map(() => 4);
  return arrayOf('int', sizes, (into, at, index) => into.writeInt32BE(values[index] ?? 0, at));
}

function arrayOf(
  type: keyof typeof OID,
  sizes: readonly number[],
  write: (into: Buffer, at: number, index: number) => void,
): Buffer {
  const elements = sizes.reduce((sum, size) => sum + LENGTH_BYTES + size, 0);
  const into = Buffer.allocUnsafe(HEADER_BYTES + elements);
  // Dimensions, whether there are nulls, type of the elements; then length and lower bound of the one dimension.
  [1, 0, OID[type], sizes.length, 1].forEach((word, index) => into.writeInt32BE(word, index * 4));
  let at = HEADER_BYTES;
  for (const [index, size] of sizes.entries()) {
    into.writeInt32BE(size, at);
    write(into, at + LENGTH_BYTES, index);
    at += LENGTH_BYTES + size;
  }
  return into;
}
