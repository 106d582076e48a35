/** Writes every artefact that is derived from the contracts. `npm run generate`; a test fails when one is not current. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

// The one place where contracts look at services: their configuration is documented from the schemas that they read.
import { AdminConfig } from '../services/admin/config.ts';
import { EscalationConfig } from '../services/approval-escalation/config.ts';
import { ChainerConfig } from '../services/audit-chainer/config.ts';
import { SettlerConfig } from '../services/budget-settler/config.ts';
import { WorkerConfig } from '../services/decision-worker/config.ts';
import { IngressConfig } from '../services/ingress/config.ts';
import { MigrateConfig } from '../services/migrate/config.ts';
import { NotifierConfig } from '../services/notifier/config.ts';
import { WitnessConfig } from '../services/witness/config.ts';
import { adminOpenApi } from './admin-openapi.ts';
import { asyncapi, lineSchemas } from './asyncapi.ts';
import { configurationReference } from './configuration.ts';
import { openapi } from './openapi.ts';
import { natsConf } from './permissions.ts';
import { policyInputJsonSchema } from './policy.ts';

/** Generated files by path from the top of the repository. */
export function artefacts(): Readonly<Record<string, string>> {
  return {
    'compose/nats.conf': natsConf(),
    'contracts/generated/admin-openapi.json': adminOpenApi(),
    'contracts/generated/openapi.json': openapi(),
    'contracts/generated/asyncapi.json': asyncapi(),
    'contracts/generated/policy-input.schema.json': `${JSON.stringify(policyInputJsonSchema(), null, 2)}\n`,
    ...lineSchemas(),
    'docs/configuration.md': configurationReference({
      ingress: IngressConfig,
      'decision-worker': WorkerConfig,
      'audit-chainer': ChainerConfig,
      'approval-escalation': EscalationConfig,
      notifier: NotifierConfig,
      'budget-settler': SettlerConfig,
      witness: WitnessConfig,
      admin: AdminConfig,
      migrate: MigrateConfig,
    }),
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
