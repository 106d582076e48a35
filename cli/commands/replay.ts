// `replay`: judges a recorded decision again and says whether it comes out the same.

import type { Command } from 'commander';

import { adminClient, type AdminClient, reachable, type Reach, Refused } from '#cli/client.ts';
import { CliError, EXIT, paint, print, printJson } from '#cli/output.ts';
import { NotReplayable, type Replay, replayDecision } from '#cli/replay.ts';
import { addVerb } from '#cli/verb.ts';
import type { AuditRecord } from '#contracts/audit-api.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import { openBundle, PolicyBundleError } from '#policies/engine/bundle.ts';
import type { Evaluate } from '#policies/engine/judge.ts';
import { loadPolicy } from '#policies/engine/wasm.ts';

export function register(program: Command): void {
  reachable(
    addVerb(program, 'replay <decision-id>', {
      summary:
        'Judge a recorded decision again with its own policies, input and time. ' +
        'Exit code 0 identical, 1 it differs, 3 it could not be replayed.',
      examples: [
        ['./countersign replay 019a1b2c-…', 'the id that `call` and `audit list` show'],
        ['./countersign replay 019a1b2c-… --json', 'both verdicts, and what differs'],
      ],
    }),
  ).action(replay);
}

async function replay(id: string, options: Reach): Promise<void> {
  const admin = adminClient(options);
  const { leaf, result } = await replayOf(admin, `audit/${encodeURIComponent(id)}`).catch(
    (cause: unknown) => {
      // Only a difference is a finding; whatever keeps from judging again is none.
      if (cause instanceof NotReplayable || cause instanceof PolicyBundleError) {
        throw new CliError(`It cannot be replayed: ${cause.message}.`, { cause });
      }
      throw cause instanceof Refused ? new CliError(cause.message, { cause }) : cause;
    },
  );
  if (options.json === true) printJson({ decision_id: id, ...result });
  else tell(id, leaf, result);
  if (!result.identical) process.exitCode = EXIT.finding;
}

async function replayOf(admin: AdminClient, path: string) {
  const record = (await admin.tenantCall('GET', path)) as AuditRecord;
  // The payload is held to the leaf's commitments before anything of it is used.
  const leaf = record.leaf as unknown as DecisionLeaf;
  const load = async (digest: string, role: PolicyRole): Promise<Evaluate> => {
    const response = await admin.tenantGet(`${path}/bundles/${digest}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const policy = await loadPolicy(openBundle(bytes, digest, role).bundle);
    return policy.evaluate;
  };
  return { leaf, result: await replayDecision(leaf, record.payload, load) };
}

function tell(id: string, leaf: DecisionLeaf, result: Replay): void {
  const { identical, recorded, replayed, differences } = result;
  const said = ({ verdict, reason }: Replay['recorded']) => `${verdict}  ${reason}`;
  print(
    identical
      ? `identical: ${said(recorded)}`
      : paint('red', `differs in ${differences.join(', ')}`),
  );
  print(`  decision  ${id}  ${leaf.tool}  ${new Date(leaf.at).toISOString()}`);
  if (!identical) {
    print(`  recorded  ${said(recorded)}`);
    print(`  replayed  ${said(replayed)}`);
  }
  if (result.policies_evaluated) {
    for (const { role, digest } of leaf.policies) print(`  evaluated ${role} ${digest}`);
    print('  the other checks from their recorded evidence');
  } else print('  no policy was asked: all from the recorded evidence');
}
