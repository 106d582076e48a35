/** Files of key material: parsers for what deployments put into them. */

/** Base64 key bytes. @throws Error when shorter than 32 bytes. */
export function parseKey(text: string, what: string): Uint8Array {
  const bytes = Buffer.from(text.trim(), 'base64');
  if (bytes.length < 32) throw new Error(`${what}: a key needs at least 32 bytes of base64`);
  return new Uint8Array(bytes);
}
