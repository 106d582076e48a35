/** Writes every artefact that is derived from the contracts. `npm run generate`; a test fails when one is not current. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { adminOpenApi } from './admin-openapi.ts';
import { openapi } from './openapi.ts';
import { natsConf } from './permissions.ts';

/** Generated files by path from the top of the repository. */
export function artefacts(): Readonly<Record<string, string>> {
  return {
    'compose/nats.conf': natsConf(),
    'contracts/generated/admin-openapi.json': adminOpenApi(),
    'contracts/generated/openapi.json': openapi(),
  };
}

if (import.meta.main) {
  const top = new URL('../', import.meta.url);
  for (const [path, text] of Object.entries(artefacts())) {
    const file = new URL(path, top);
    mkdirSync(new URL('.', file), { recursive: true });
    let before = '';
    try {
      before = readFileSync(file, 'utf8');
    } catch {
      // a new artefact
    }
    if (before !== text) {
      writeFileSync(file, text);
      console.log(`written: ${path}`);
    }
  }
}
