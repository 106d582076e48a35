// Replays many recorded decisions from the stream of rows: some at once, the bundles fetched once each, and counted.

import { CliError } from '#cli/output.ts';
import { Erased, NotReplayable, type Replay } from '#cli/replay.ts';
import type { AuditEnd, AuditLine } from '#contracts/audit-api.ts';
import { parseEntry } from '#contracts/chain.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';

/** How a recorded decision came out. */
export type Came = 'same' | 'different' | 'erased' | 'unreplayable';

export interface RangeCount {
  readonly same: number;
  readonly different: number;
  readonly erased: number;
  readonly unreplayable: number;
}

export interface Told {
  readonly came: Exclude<Came, 'same'>;
  readonly sequence: number;
  readonly leaf: DecisionLeaf;
  readonly replay?: Replay;
  readonly why?: string;
}

export interface RangeResult extends RangeCount {
  /** The first ones that did not come out the same, in the order of the chain. */
  readonly first: readonly Told[];
}

export interface ReplayRange {
  readonly lines: AsyncIterable<AuditLine | AuditEnd> | Iterable<AuditEnd>;
  readonly fits: (leaf: DecisionLeaf) => boolean;
  readonly replay: (leaf: DecisionLeaf, payload: string | null) => Promise<Replay>;
  /** How many of each kind of bad news are told. */
  readonly tell: number;
  readonly onProgress: (count: RangeCount) => void;
}

/** Replays that wait for a bundle or run; more would only hold more payloads in memory. */
const AT_ONCE = 16;
const PROGRESS_EVERY = 1_000;

/** @throws NotReplayable when the rows break off, CliError when the system is away */
export async function replayRange({
  lines,
  fits,
  replay,
  tell,
  onProgress,
}: ReplayRange): Promise<RangeResult> {
  const count = { same: 0, different: 0, erased: 0, unreplayable: 0 };
  const told: Told[] = [];
  const running = new Set<Promise<void>>();
  let failure: unknown;
  const run = async (
    sequence: number,
    leaf: DecisionLeaf,
    payload: string | null,
  ): Promise<void> => {
    const outcome = await outcomeOf(() => replay(leaf, payload));
    count[outcome.came] += 1;
    const { came } = outcome;
    if (came !== 'same' && count[came] <= tell) told.push({ ...outcome, came, sequence, leaf });
    const all = count.same + count.different + count.erased + count.unreplayable;
    if (all % PROGRESS_EVERY === 0) onProgress(count);
  };
  let whole = false;
  for await (const line of lines) {
    if ('head' in line) {
      whole = true;
      break;
    }
    const entry = parseEntry(line.entry);
    if (entry?.kind !== 'decision') continue;
    const leaf = entry.body as unknown as DecisionLeaf; // by its kind
    if (!fits(leaf)) continue;
    const one = run(entry.sequence, leaf, line.payload ?? null)
      .catch((error: unknown) => (failure ??= error))
      .then(() => void running.delete(one));
    running.add(one);
    if (running.size >= AT_ONCE) await Promise.race(running);
    if (failure !== undefined) break;
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure;
  if (!whole) throw new NotReplayable('the rows broke off before their end');
  return { ...count, first: told.sort((a, b) => a.sequence - b.sequence) };
}

async function outcomeOf(
  replay: () => Promise<Replay>,
): Promise<{ readonly came: Came; readonly replay?: Replay; readonly why?: string }> {
  try {
    const result = await replay();
    return { came: result.identical ? 'same' : 'different', replay: result };
  } catch (error) {
    if (error instanceof Erased) return { came: 'erased', why: 'payload erased' };
    // That the system is away is no finding about a record; everything else is one about this record.
    if (error instanceof CliError || !(error instanceof Error)) throw error;
    return { came: 'unreplayable', why: error.message };
  }
}
