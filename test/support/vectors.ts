/** Reads the language-neutral vectors: one JSON file per case, named after what it shows. */
import { readdirSync, readFileSync } from 'node:fs';

/** `[name, content]` of every vector of one folder below test/vectors. The caller names the shape. */
export function readVectors<T>(folder: string): [name: string, vector: T][] {
  const directory = new URL(`../vectors/${folder}/`, import.meta.url);
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  if (names.length === 0) throw new Error(`no vectors in ${folder}`);
  return names.map((name) => {
    const vector = JSON.parse(readFileSync(new URL(name, directory), 'utf8')) as T;
    return [name.slice(0, -'.json'.length), vector];
  });
}
