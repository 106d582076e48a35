// `replay`: judges recorded decisions again and says whether they come out the same.

import type { Command } from 'commander';

import {
  filtered,
  fitsDecision,
  type RowFilter,
  rowLines,
  type RowPage,
  rowPage,
} from '#cli/audit-rows.ts';
import { adminClient, type AdminClient, reachable, type Reach, Refused } from '#cli/client.ts';
import { countGiven } from '#cli/given.ts';
import { CliError, EXIT, paint, print, printJson, progress } from '#cli/output.ts';
import { type RangeCount, replayRange, type Told } from '#cli/replay-range.ts';
import { Erased, NotReplayable, type Replay, replayDecision } from '#cli/replay.ts';
import { visible } from '#cli/untrusted.ts';
import { addVerb } from '#cli/verb.ts';
import type { AuditRecord } from '#contracts/audit-api.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import { openBundle, PolicyBundleError } from '#policies/engine/bundle.ts';
import type { Evaluate } from '#policies/engine/judge.ts';
import { loadPolicy } from '#policies/engine/wasm.ts';

interface RangeOptions extends Reach, RowFilter {
  readonly first: number;
}

const FIRST = 10;

export function register(program: Command): void {
  filtered(
    reachable(
      addVerb(program, 'replay [decision-id]', {
        short: 'Judge recorded decisions again.',
        summary:
          'Judge a recorded decision, or all of a time, again with their own policies, input and time. ' +
          'Exit code 0 identical, 1 one differs, 3 one could not be replayed (its payload is erased, say).',
        examples: [
          ['./countersign replay 019a1b2c-…', 'the id that `call` and `audit list` show'],
          ['./countersign replay 019a1b2c-… --json', 'both verdicts, and what differs'],
          [
            './countersign replay --since 24h',
            'everything since then: counted, and the first differences',
          ],
          ['./countersign replay --since 7d --tool refund_order', 'of one tool'],
        ],
      }),
    ),
  )
    .option('--first <rows>', 'how many of each kind of bad news are listed', countGiven, FIRST)
    .action((id: string | undefined, options: RangeOptions) =>
      id === undefined ? replayAll(options) : replayOne(id, options),
    );
}

async function replayOne(id: string, options: Reach): Promise<void> {
  const admin = adminClient(options);
  const { leaf, result } = await replayOf(admin, id).catch((cause: unknown) => {
    // Only a difference is a finding; whatever keeps from judging again is none.
    if (cause instanceof Erased)
      throw new CliError('payload erased: there is nothing left to replay it from.', { cause });
    if (cause instanceof NotReplayable)
      throw new CliError(`It cannot be replayed: ${cause.message}.`, { cause });
    throw cause instanceof Refused ? new CliError(cause.message, { cause }) : cause;
  });
  if (options.json === true) printJson({ decision_id: id, ...result });
  else tell(id, leaf, result);
  if (!result.identical) process.exitCode = EXIT.finding;
}

async function replayOf(admin: AdminClient, id: string) {
  const path = `audit/${encodeURIComponent(id)}?plain=true&why=replay`;
  const record = (await admin.tenantCall('GET', path)) as AuditRecord;
  // The payload is held to the leaf's commitments before anything of it is used.
  const leaf = record.leaf as unknown as DecisionLeaf;
  return { leaf, result: await replayDecision(leaf, record.payload, bundleLoader(admin)(leaf.id)) };
}

type Load = (digest: string, role: PolicyRole) => Promise<Evaluate>;

/** Policies by digest, each fetched once, by way of a decision that names it. */
function bundleLoader(admin: AdminClient): (decisionId: string) => Load {
  const loaded = new Map<string, Promise<Evaluate>>();
  return (id) => (digest, role) => {
    const key = `${role} ${digest}`;
    const known = loaded.get(key) ?? fetchBundle(admin, { id, digest, role });
    loaded.set(key, known);
    return known;
  };
}

async function fetchBundle(
  admin: AdminClient,
  { id, digest, role }: { readonly id: string; readonly digest: string; readonly role: PolicyRole },
): Promise<Evaluate> {
  try {
    const response = await admin.tenantGet(`audit/${encodeURIComponent(id)}/bundles/${digest}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return (await loadPolicy(openBundle(bytes, digest, role).bundle)).evaluate;
  } catch (cause) {
    if (cause instanceof PolicyBundleError) throw new NotReplayable(cause.message);
    if (cause instanceof Refused && cause.code === 'thing.not_found')
      throw new NotReplayable(`the ${role} policy ${digest} is not kept any more`);
    throw cause;
  }
}

async function replayAll(options: RangeOptions): Promise<void> {
  const admin = adminClient(options);
  const load = bundleLoader(admin);
  const { items } = await firstRow(admin, options);
  const after = (items[0]?.sequence ?? 1) - 1;
  const result = await replayRange({
    lines:
      items.length === 0 ? [{ head: { sequence: 0, hash: '' } }] : rowLines(admin, after, 'replay'),
    fits: (leaf) => fitsDecision(options, leaf),
    replay: (leaf, payload) => replayDecision(leaf, payload, load(leaf.id)),
    tell: options.first,
    onProgress: (count) => progress(countText(count)),
  }).catch((cause: unknown) => {
    throw cause instanceof NotReplayable ? new CliError(`${cause.message}.`, { cause }) : cause;
  });
  const { first, ...count } = result;
  if (options.json === true) printJson({ ...count, first: first.map(shownInJson) });
  else tellRange(count, first);
  process.exitCode = exitCodeOf(count);
}

/** Bad news first: one that differs is a finding, one that could not be replayed leaves it open, and so does none. */
function exitCodeOf({ same, different, erased, unreplayable }: RangeCount): number {
  if (different > 0) return EXIT.finding;
  return erased + unreplayable > 0 || same === 0 ? EXIT.failed : EXIT.ok;
}

/** Where in the chain the first row stands that fits. */
async function firstRow(admin: AdminClient, filter: RowFilter): Promise<RowPage> {
  const wanted = { ...filter, kind: 'decision' };
  let page = await rowPage(admin, wanted, { after: 0, limit: 1 });
  while (page.items.length === 0 && page.next !== undefined) {
    page = await rowPage(admin, wanted, { cursor: page.next, limit: 1 });
  }
  return page;
}

const countText = ({ same, different, erased, unreplayable }: RangeCount): string =>
  `${same} the same, ${different} different, ${erased} with their payload erased, ${unreplayable} not to be replayed`;

const shownInJson = ({ came, sequence, leaf, replay, why }: Told) => ({
  came,
  sequence,
  decision_id: leaf.id,
  at: new Date(leaf.at).toISOString(),
  ...(replay === undefined ? { why } : replay),
});

function tellRange(count: RangeCount, first: readonly Told[]): void {
  const { same, different, erased, unreplayable } = count;
  const all = same + different + erased + unreplayable;
  print(all === 0 ? 'no decision fits' : `${all} decisions: ${countText(count)}`);
  for (const { came, sequence, leaf, replay, why } of first) {
    const at = new Date(leaf.at).toISOString();
    print(
      `\n${paint(came === 'different' ? 'red' : 'yellow', came)}  row ${sequence}  ${leaf.id}  ${at}  ${visible(leaf.tool)}`,
    );
    if (replay === undefined) print(`  ${why ?? ''}`);
    else {
      print(`  differs in ${replay.differences.join(', ')}`);
      print(`  recorded  ${judgedText(replay.recorded)}`);
      print(`  replayed  ${judgedText(replay.replayed)}`);
    }
  }
}

const judgedText = ({ verdict, reason }: Replay['recorded']): string => `${verdict}  ${reason}`;

function tell(id: string, leaf: DecisionLeaf, result: Replay): void {
  const { identical, recorded, replayed, differences } = result;
  print(
    identical
      ? `identical: ${judgedText(recorded)}`
      : paint('red', `differs in ${differences.join(', ')}`),
  );
  print(`  decision  ${id}  ${leaf.tool}  ${new Date(leaf.at).toISOString()}`);
  if (!identical) {
    print(`  recorded  ${judgedText(recorded)}`);
    print(`  replayed  ${judgedText(replayed)}`);
  }
  if (result.policies_evaluated) {
    for (const { role, digest } of leaf.policies) print(`  evaluated ${role} ${digest}`);
    print('  the other checks from their recorded evidence');
  } else print('  no policy was asked: all from the recorded evidence');
}
