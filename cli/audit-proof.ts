// `audit proof`, `checkpoint`, `consistency`, `verify-proof`: one record, proved by itself to somebody who trusts nobody.

import { readFileSync, writeFileSync } from 'node:fs';

import { type Command, InvalidArgumentError } from 'commander';

import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { CliError, EXIT, paint, print, printJson } from '#cli/output.ts';
import { policyIn } from '#cli/policy-file.ts';
import { addVerb } from '#cli/verb.ts';
import { parseSize } from '#contracts/checkpoint.ts';
import { verifyConsistency } from '#contracts/merkle.ts';
import { type CheckedProof, checkRecordProof, type ProofFault } from '#contracts/record-proof.ts';
import type { WitnessPolicy } from '#contracts/witness-policy.ts';
import { type OpenedCheckpoint, openCheckpoint } from '#contracts/witnessed.ts';

export function registerProofs(audit: Command): void {
  reachable(
    addVerb(audit, 'proof <decision-id>', {
      summary:
        'Fetch the proof of one decision: that its record stands under a witnessed checkpoint.',
      examples: [
        [
          './countersign audit proof 019a1b2c-… --out order.tlog-proof',
          'a file of at most 4 KiB (C2SP tlog-proof)',
        ],
      ],
    }),
  )
    .option('--out <file>', 'where to write it (default: standard output)')
    .action(fetchProof);
  addVerb(audit, 'verify-proof <file>', {
    summary:
      'Check a proof with a policy file and nothing else, offline. ' +
      'Exit code 0 it holds, 1 it does not, 3 could not run.',
    examples: [
      [
        './countersign audit verify-proof order.tlog-proof --policy witness.policy',
        'docs/witness.md says what the policy file holds',
      ],
    ],
  })
    .requiredOption('--policy <file>', 'keys of the log and of the witnesses, and how many of them')
    .action(verifyProof);
  reachable(
    addVerb(audit, 'checkpoint', {
      summary: 'Fetch the newest witnessed checkpoint. For operators of all tenants.',
      examples: [
        ['./countersign audit checkpoint > today.checkpoint', 'to keep outside of this system'],
        ['./countersign audit checkpoint --policy witness.policy', 'and who has cosigned it'],
      ],
    }),
  )
    .option('--policy <file>', 'check it, and tell who has cosigned')
    .action(fetchCheckpoint);
  reachable(
    addVerb(audit, 'consistency <from> [to]', {
      summary:
        'Fetch the proof that the tree now continues an older one. For operators of all tenants.',
      examples: [
        [
          './countersign audit consistency old.checkpoint new.checkpoint --policy witness.policy',
          'of two checkpoints: fetched and checked',
        ],
        ['./countersign audit consistency 1200 1500', 'of two sizes: only the hashes'],
      ],
    }),
  )
    .option('--policy <file>', 'who is believed where checkpoints are given')
    .action(consistency);
}

interface ProofOptions extends Reach {
  readonly out?: string;
}

async function fetchProof(id: string, options: ProofOptions): Promise<void> {
  const path = `audit/${encodeURIComponent(id)}/proof`;
  const proof = await (await adminClient(options).tenantGet(path)).text();
  const { out } = options;
  if (out !== undefined) writeFileSync(out, proof);
  if (options.json === true)
    printJson(out === undefined ? { proof } : { file: out, bytes: Buffer.byteLength(proof) });
  else if (out === undefined) process.stdout.write(proof);
  else print(`${out}: ${Buffer.byteLength(proof)} bytes`);
}

interface PolicyOption {
  readonly policy?: string;
  readonly json?: true;
}

function verifyProof(file: string, options: PolicyOption & { readonly policy: string }): void {
  const checked = checkRecordProof(textIn(file), policyIn(options.policy));
  if (options.json === true) printJson(shown(checked));
  else tell(checked);
  if (!checked.holds) process.exitCode = EXIT.finding;
}

/** What is wrong, for a person. */
export const PROOF_FINDINGS: Readonly<Record<ProofFault, string>> = {
  malformed: 'it is not the proof of a record',
  not_signed: 'no log of the policy has signed its checkpoint, or a signature in it is broken',
  not_witnessed: 'too few witnesses of the policy have cosigned its checkpoint',
  not_included: 'the record is not in the tree of the checkpoint, or not at this place',
};

function shown(checked: CheckedProof): object {
  if (!checked.holds) return checked;
  const { row, under } = checked;
  return { holds: true, ...row, checkpoint: checkpointShown(under) };
}

const checkpointShown = ({ checkpoint, cosigners, witnessed }: OpenedCheckpoint) => ({
  origin: checkpoint.origin,
  size: checkpoint.size,
  root: Buffer.from(checkpoint.root).toString('base64'),
  witnessed,
  cosigners: cosigners.map(({ witness, seconds }) => ({ witness, at: when(seconds) })),
});

function tell(checked: CheckedProof): void {
  if (!checked.holds) {
    print(paint('red', `it does not hold: ${PROOF_FINDINGS[checked.finding]}`));
    return;
  }
  const { row, under } = checked;
  print(paint('green', `it holds: row ${row.sequence} of the chain of ${row.tenant}`));
  print(`  hash      ${row.hash}`);
  if (row.entry === undefined) print('  the entry is too long for a proof: compare the hash');
  else print(`  record    ${row.entry.kind} ${row.entry.body.id}`);
  tellCheckpoint(under);
}

function tellCheckpoint({ checkpoint, cosigners }: OpenedCheckpoint): void {
  print(`  log       ${checkpoint.origin}, tree of ${checkpoint.size} leaves`);
  for (const { witness, seconds } of cosigners) print(`  cosigned  ${witness}, ${when(seconds)}`);
  if (cosigners.length === 0) print('  cosigned  by nobody: the policy asks for none');
}

const when = (seconds: number): string => new Date(seconds * 1_000).toISOString();

async function fetchCheckpoint(options: Reach & PolicyOption): Promise<void> {
  const note = await (await adminClient(options).get('/v1/log/checkpoint')).text();
  if (options.policy === undefined) {
    if (options.json === true) printJson({ note });
    else process.stdout.write(note);
    return;
  }
  const opened = openedBy(note, policyIn(options.policy));
  if (options.json === true) printJson({ note, ...checkpointShown(opened) });
  else tellCheckpoint(opened);
  if (!opened.witnessed) process.exitCode = EXIT.finding;
}

interface ConsistencyAnswer {
  readonly from: number;
  readonly to: number;
  readonly proof: readonly string[];
}

/** Sizes are fetched; checkpoints in files are checked against each other too. */
async function consistency(
  from: string,
  to: string | undefined,
  options: Reach & PolicyOption,
): Promise<void> {
  const admin = adminClient(options);
  const newest = async () => (await admin.get('/v1/log/checkpoint')).text();
  const sizes = parseSize(from);
  if (sizes !== undefined) {
    const last = to === undefined ? sizeIn(await newest()) : parseSize(to);
    if (last === undefined) throw new InvalidArgumentError('Give two sizes, or two files.');
    printJson(await admin.call('GET', `/v1/log/consistency?from=${sizes}&to=${last}`));
    return;
  }
  if (options.policy === undefined)
    throw new CliError('Who is believed?', { exitCode: EXIT.misuse, help: 'add --policy FILE' });
  const policy = policyIn(options.policy);
  const old = openedBy(textIn(from), policy).checkpoint;
  const now = openedBy(to === undefined ? await newest() : textIn(to), policy).checkpoint;
  const query = new URLSearchParams({ from: String(old.size), to: String(now.size) });
  const { proof } = (await admin.call(
    'GET',
    `/v1/log/consistency?${query.toString()}`,
  )) as ConsistencyAnswer;
  const hashes = proof.map((hash) => Buffer.from(hash, 'base64'));
  const holds =
    old.origin === now.origin && verifyConsistency({ from: old, to: now, proof: hashes });
  if (options.json === true) printJson({ holds, from: old.size, to: now.size, proof });
  else if (holds)
    print(paint('green', `the tree of ${now.size} leaves continues that of ${old.size}`));
  else print(paint('red', `the tree of ${now.size} leaves does not continue that of ${old.size}`));
  if (!holds) process.exitCode = EXIT.finding;
}

const sizeIn = (note: string): number | undefined => parseSize(note.split('\n')[1] ?? '');

function openedBy(note: string, policy: WitnessPolicy): OpenedCheckpoint {
  const opened = openCheckpoint(note, policy);
  if (opened !== undefined) return opened;
  throw new CliError(`${PROOF_FINDINGS.not_signed}.`, { exitCode: EXIT.finding });
}

/** The text of a file, `-` = standard input. Throws CliError: nothing can be said. */
export function textIn(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read.`, { cause });
  }
}
