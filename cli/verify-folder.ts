// Verifies an export offline and says what was found: the verb `audit verify --export`, and the verifier that stands alone.

import { exportFiles } from '#cli/export-folder.ts';
import { readText } from '#cli/given.ts';
import { CliError, EXIT, paint, print, printJson } from '#cli/output.ts';
import { policyIn } from '#cli/policy-file.ts';
import { visible } from '#cli/untrusted.ts';
import {
  type ExportFinding,
  type ExportVerdict,
  type Verified,
  verifyExport,
} from '#contracts/verify-export.ts';
import type { WitnessPolicy } from '#contracts/witness-policy.ts';
import { type OpenedCheckpoint, openCheckpoint } from '#contracts/witnessed.ts';

export const COVERS: Readonly<Record<Verified['completeness'], string>> = {
  whole: 'all up to the witnessed head',
  range: 'gapless between two rows',
  selection: 'a selection: each row is proved, that none is left out is not',
};

/** A checkpoint that was kept: a note, or the manifest of an earlier export. */
export function noteIn(file: string): string {
  const text = readText(file);
  try {
    const { checkpoint } = JSON.parse(text) as { readonly checkpoint?: unknown };
    return typeof checkpoint === 'string' ? checkpoint : text;
  } catch {
    return text;
  }
}

export interface VerifyFolder {
  readonly export: string;
  readonly policy?: string;
  readonly against?: string;
  readonly json?: true;
}

/** Exit code of an export from which something is missing that it takes to call it intact. */
export const INCOMPLETE = 4;

/** Verifies a folder offline and sets the exit code: 0 intact, 1 tampered with, 4 incomplete. Throws CliError: 2 or 3. */
export async function verifyFolder(options: VerifyFolder): Promise<void> {
  const { policy: file, against, export: dir } = options;
  if (file === undefined)
    throw new CliError('Who is believed?', { exitCode: EXIT.misuse, help: 'add --policy FILE' });
  const policy = policyIn(file);
  const held = against === undefined ? undefined : heldIn(against, policy);
  const verdict = await verifyExport(exportFiles(dir), policy, held);
  if (options.json === true) printJson(shown(verdict));
  else tellVerdict(dir, verdict);
  if (verdict.verdict === 'tampered') process.exitCode = EXIT.finding;
  if (verdict.verdict === 'incomplete') process.exitCode = INCOMPLETE;
}

function heldIn(file: string, policy: WitnessPolicy): OpenedCheckpoint {
  const opened = openCheckpoint(noteIn(file), policy);
  if (opened?.witnessed === true) return opened;
  throw new CliError(`${file} holds no checkpoint that this policy believes.`, {
    exitCode: EXIT.misuse,
    help: 'a checkpoint that you kept, or the manifest.json of an export that you verified',
  });
}

function shown(verdict: ExportVerdict): object {
  if (verdict.verdict !== 'intact') return verdict;
  const { under, ...proved } = verdict.proved;
  return {
    verdict: 'intact',
    ...proved,
    log: under.checkpoint.origin,
    size: under.checkpoint.size,
    witnesses: under.cosigners.map(({ witness, seconds }) => ({ witness, at: when(seconds) })),
  };
}

const when = (seconds: number): string => new Date(seconds * 1_000).toISOString();

function tellVerdict(dir: string, verdict: ExportVerdict): void {
  if (verdict.verdict !== 'intact') {
    tellFinding(verdict.verdict, verdict.finding);
    return;
  }
  const { tenant, completeness, rows, first, last, payloads, erased, masked, under } =
    verdict.proved;
  print(paint('green', `intact: ${rows} rows of ${visible(tenant)} in ${dir}`));
  print(`  rows       ${first} to ${last}, ${COVERS[completeness]}`);
  if (payloads + erased > 0 && masked === 0)
    print(`  payloads   ${payloads} as committed to, ${erased} erased`);
  if (masked > 0)
    print(`  payloads   ${masked} masked (values shown there are not proved), ${erased} erased`);
  print(`  log        ${visible(under.checkpoint.origin)}, ${under.checkpoint.size} leaves`);
  for (const { witness, seconds } of under.cosigners)
    print(`  witnessed  by ${visible(witness)} at ${when(seconds)}`);
  if (under.cosigners.length === 0)
    print(
      `  witnessed  by nobody: the policy asks for none, so the owner of the log could have rewritten it`,
    );
}

function tellFinding(verdict: 'tampered' | 'incomplete', finding: ExportFinding): void {
  const { file, line, sequence, kind, detail } = finding;
  const place = [
    `${file}${line > 0 ? ` line ${line}` : ''}`,
    ...(sequence > 0 ? [`row ${sequence}`] : []),
  ].join(', ');
  const what = verdict === 'tampered' ? 'tampered with' : 'incomplete';
  print(paint('red', `${what}: ${place}: ${kind}`));
  if (detail !== '') print(`  ${visible(detail)}`);
}
