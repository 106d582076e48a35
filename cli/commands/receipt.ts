// `receipt`: what a receipt says, whether it is signed, and whether the record of its decision commits to it.

import type { Command } from 'commander';

import { PROOF_FINDINGS, textIn } from '#cli/audit-proof.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { readText } from '#cli/given.ts';
import { CliError, EXIT, paint, print, printJson } from '#cli/output.ts';
import { policyIn } from '#cli/policy-file.ts';
import { checkAgainst, checkReceipt, type ReceiptCheck } from '#cli/receipt-check.ts';
import { addVerb } from '#cli/verb.ts';
import type { AuditRecord } from '#contracts/audit-api.ts';
import { checkRecordProof } from '#contracts/record-proof.ts';

interface ReceiptOptions extends Reach {
  readonly leaf?: string;
  readonly proof?: string;
  readonly policy?: string;
  readonly alone?: true;
}

export function register(program: Command): void {
  const verb = addVerb(program, 'receipt <receipt>', {
    short: 'Check the signed receipt of a call.',
    summary:
      'Check a receipt: its signature, and the record of its decision, which names the key. ' +
      'Exit code 0 it holds, 1 it does not, 3 could not run.',
    examples: [
      ['./countersign receipt csr1.eyJ…', 'against the record that admin shows'],
      ['./countersign receipt csr1.eyJ… --leaf leaf.json', 'against a leaf in a file, offline'],
      [
        './countersign receipt csr1.eyJ… --proof order.tlog-proof --policy witness.policy',
        'against the witnessed record, offline',
      ],
    ],
  });
  reachable(verb)
    .option('--leaf <file>', 'the leaf of the record, as JSON; asks nobody')
    .option('--proof <file>', 'the proof of the record (`audit proof`); asks nobody')
    .option('--policy <file>', 'whose checkpoints count, for --proof')
    .option('--alone', 'only the signature by the key that it names; asks nobody')
    .action(check);
}

async function check(text: string, options: ReceiptOptions): Promise<void> {
  const checked = await checkedBy(text.trim(), options);
  if (options.json === true) printJson(checked);
  else tell(checked, options);
  if (!checked.holds) process.exitCode = EXIT.finding;
}

async function checkedBy(text: string, options: ReceiptOptions): Promise<ReceiptCheck> {
  const alone = checkReceipt(text);
  if (!alone.holds || options.alone === true) return alone;
  const { statement } = alone;
  if (options.leaf !== undefined) return checkAgainst(statement, leafIn(options.leaf));
  if (options.proof !== undefined) return checkAgainst(statement, provedLeaf(options));
  const path = `audit/${encodeURIComponent(statement.decision_id)}`;
  const record = (await adminClient(options).tenantCall('GET', path)) as AuditRecord;
  return checkAgainst(statement, record.leaf);
}

/** The leaf of a record that a proof holds. Throws CliError when it does not hold. */
function provedLeaf({ proof, policy }: ReceiptOptions): Readonly<Record<string, unknown>> {
  if (policy === undefined) {
    throw new CliError('Whose checkpoints count?', {
      exitCode: EXIT.misuse,
      help: 'add --policy FILE (docs/witness.md)',
    });
  }
  const checked = checkRecordProof(textIn(proof ?? ''), policyIn(policy));
  if (!checked.holds)
    throw new CliError(`${PROOF_FINDINGS[checked.finding]}.`, { exitCode: EXIT.finding });
  if (checked.row.entry !== undefined) return checked.row.entry.body;
  throw new CliError('The entry is too long for its proof.', {
    help: 'check the receipt with --leaf, and compare the hash that `audit verify-proof` shows',
  });
}

function leafIn(file: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(readText(file));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (cause) {
    throw new CliError(`${file} cannot be read.`, { cause });
  }
  throw new CliError(`${file} holds no leaf.`);
}

function tell(checked: ReceiptCheck, { alone, proof }: ReceiptOptions): void {
  const { statement } = checked;
  if (!checked.holds) print(paint('red', `it does not hold: ${checked.finding}`));
  else if (alone === true) print(paint('green', 'signed by the key that it names'));
  else if (proof !== undefined)
    print(paint('green', 'signed by the key that the record names, and the record is witnessed'));
  else print(paint('green', 'signed by the key that the record names, and as recorded'));
  if (statement === undefined) return;
  const {
    tenant,
    upstream,
    tool,
    verdict,
    decision_id: id,
    at,
    exp,
    worker,
    args_hash,
  } = statement;
  print(`  ${verdict}  ${tool} of ${upstream === '' ? 'no server' : upstream}, tenant ${tenant}`);
  print(`  arguments  ${args_hash}`);
  print(`  decision   ${id}, decided ${when(at)} by ${worker}, good until ${when(exp)}`);
}

const when = (unixMs: number): string => new Date(unixMs).toISOString();
