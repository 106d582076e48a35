// A log with a past, what can be exported of it, and what is told of an export.

import { type ExportVerdict, verifyExport } from '#contracts/verify-export.ts';
import { openCheckpoint } from '#contracts/witnessed.ts';
import { type Files, filesOf, OwnedLog } from '#test/support/owned-log.ts';

/** A log with a past: sealed once when the auditor took a checkpoint, and once more since. */
export function past() {
  const log = new OwnedLog();
  log.append('acme', 4);
  log.append('bolt', 3);
  const held = log.seal();
  const size = log.leaves.length;
  log.append('acme', 2, {
    leaf: { agent: 'other-bot', verdict: 'block', reason: 'policy.blocked' },
  });
  log.append('acme', 3);
  log.append('bolt', 2);
  log.seal();
  const { policy } = log;
  return { log, held: openCheckpoint(held, policy)!, size, policy };
}

export type Past = ReturnType<typeof past>;
export const whole = ({ log, size }: Past) => log.export('acme', { since: size });
/** Evidence is shown by rule and so proved, the input is masked. */
export const masked = ({ log, size }: Past) =>
  log.export('acme', { since: size, redaction: { rules: [{ do: 'show', path: 'evidence' }] } });
export const selection = (p: Past) =>
  p.log.export('acme', { since: p.size, filters: { agent: 'other-bot' } });

export const said = (verdict: ExportVerdict) =>
  verdict.verdict === 'intact' ? 'intact' : `${verdict.verdict} ${verdict.finding.kind}`;
export const verify = ({ policy, held }: Past, files: Files) =>
  verifyExport(filesOf(files), policy, held);

/** What was done, how, and what is told of it. */
export type Tampering = [name: string, tampered: (past: Past) => Files, expected: string];
