// Laws of the tree that no linter rule says: each is an invariant of ARCHITECTURE.md, read off the source itself.

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

const TOP = join(import.meta.dirname, '..', '..');
const files = (...patterns: string[]) => globSync(patterns, { cwd: TOP }).sort();
const text = (file: string) => readFileSync(join(TOP, file), 'utf8');
const product = files('contracts/**/*.ts', 'services/**/*.ts', 'policies/engine/*.ts');

/** Files of the product whose text matches. */
const where = (pattern: RegExp, among = product) =>
  among.filter((file) => pattern.test(text(file)));

describe('the tree', () => {
  it('is being read', () => {
    expect(product.length).toBeGreaterThan(60);
  });

  it('names subjects only in contracts', () => {
    const quoted = /['"`]v1\.(call|decision|use|outcome|approval|control|sealed|count)\b/;
    expect(where(quoted)).toEqual(expect.arrayContaining(['contracts/subjects.ts']));
    expect(where(quoted).filter((file) => !file.startsWith('contracts/'))).toEqual([]);
  });

  it('imports the NATS client in one file', () => {
    expect(where(/from '@nats-io\//)).toEqual(['services/host/nats.ts']);
  });

  it('acknowledges messages in one file', () => {
    expect(where(/\.(ack|nak|term|ackAck)\(|\+ACK|-NAK/)).toEqual(['services/host/consume.ts']);
  });

  it('publishes decisions from the recorder alone', () => {
    expect(where(/SUBJECTS\.(decisionBatch|decisionHold|use)\(/)).toEqual([
      'services/decision-worker/recorder.ts',
    ]);
  });

  it('lets no service import another', () => {
    const foreign = product.filter((file) => {
      const [, service = ''] = /^services\/([^/]+)\//.exec(file) ?? [];
      return [...text(file).matchAll(/from '(?:\.\.\/)+([a-z-]+)\//g)].some(
        ([, folder = '']) =>
          folder !== service && files('services/*').includes(`services/${folder}`),
      );
    });
    expect(foreign).toEqual([]);
  });

  it('reads the clock of a decision in one place', () => {
    const decision = files(
      'services/decision-worker/{decide,judge,record,mode,visible}.ts',
      'services/decision-worker/checks/*.ts',
    );
    expect(where(/Date\.now\(\)|new Date\(\)/, decision)).toEqual([]);
    expect(text('services/decision-worker/serve.ts').match(/Date\.now\(\)/g)).toHaveLength(1);
  });

  it('reaches for no database, chat tool or model on the decision path', () => {
    const path = files('services/decision-worker/**/*.ts', 'services/ingress/**/*.ts');
    expect(where(/#host\/database\.ts|from 'pg'|from 'kysely'/, path)).toEqual([]);
  });

  it('says what every exported thing of the contracts is', () => {
    const bare = files('contracts/*.ts', 'contracts/capability/*.ts').flatMap((file) => {
      const lines = text(file).split('\n');
      return lines.flatMap((line, at) => {
        const named = /^export (?:async )?(?:function|class|const) (\w+)/.exec(line);
        const documented = (lines[at - 1] ?? '').endsWith('*/');
        return named !== null && !documented ? [`${file}: ${named[1]}`] : [];
      });
    });
    // What remains are schemas and tables whose names say it; the number may only fall.
    expect(bare.length).toBeLessThanOrEqual(110);
  });
});
