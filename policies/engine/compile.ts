/** Compiles laid-out sources to WASM. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type JsonObject, MalformedJson, parseStrict } from '#contracts/json.ts';

import { BUNDLE_LIMITS } from './bundle.ts';
import { errorIn, type Finding, findingsOf } from './findings.ts';
import { OUTPUT_FILE, runOpa, SOURCES_ARGS, type Workplace } from './opa.ts';
import { redirect } from './redirect.ts';
import { readTar } from './tarball.ts';

export type Compiled =
  | { readonly wasm: string; readonly data: JsonObject }
  | { readonly findings: readonly Finding[] };

/** Base64 of the module and the merged data, or what the compiler says. */
export async function compileSources(
  place: Workplace,
  entrypoints: readonly string[],
  withoutTests = false,
): Promise<Compiled> {
  const rules = entrypoints.flatMap((entrypoint) => ['--entrypoint', entrypoint]);
  const ignored = withoutTests ? ['--ignore', '*_test.rego'] : [];
  const args = ['build', ...SOURCES_ARGS, '--target', 'wasm', ...rules, ...ignored];
  const answer = await runOpa(place, [...args, '--output', `../${OUTPUT_FILE}`]);
  if (!answer.ok) return { findings: findingsOf(answer.stderr || answer.stdout) };
  const entries = await readTar(
    await readFile(join(place.folder, OUTPUT_FILE)),
    BUNDLE_LIMITS.bytes,
  );
  const bytesOf = (path: string) => entries.find((entry) => entry.path === path)?.bytes;
  const wasm = bytesOf('/policy.wasm');
  if (wasm === undefined || wasm.length > BUNDLE_LIMITS.wasmBytes) {
    return { findings: [errorIn('', 'bundle.limit', 'the compiled policy is too large')] };
  }
  const data = mergedData(bytesOf('/data.json'));
  if ('code' in data) return { findings: [data] };
  return { wasm: redirect(wasm).toString('base64'), data: data.merged };
}

/** All data as opa has merged it; YAML can say what JSON cannot, and a number more than a double holds. */
function mergedData(bytes: Uint8Array | undefined): Finding | { readonly merged: JsonObject } {
  try {
    return { merged: parseStrict(bytes ?? Buffer.from('{}')) as JsonObject };
  } catch (fault) {
    if (!(fault instanceof MalformedJson)) throw fault;
    return errorIn(
      '',
      'bundle.json',
      `the data is not strict JSON once it is merged: ${fault.code}`,
    );
  }
}
