/** Which candidates are new: by their name, which is the truth about duplicates, and by their position in a stream. */
import type pg from 'pg';

import { bodyText, type ChainSource } from '#contracts/chain.ts';
import { bigintArray, textArray } from '#host/array-parameters.ts';

import type { Candidate } from './candidate.ts';

export interface SortedOut {
  readonly fresh: readonly Candidate[];
  /** Other records under an id or at a position that is taken. */
  readonly conflicts: readonly Candidate[];
}

/** Leaves out what is chained already, or stands twice among the candidates. Adds the fresh ones to what is known. */
export function sortOut(candidates: readonly Candidate[], chained: Map<string, string>): SortedOut {
  const fresh: Candidate[] = [];
  const conflicts: Candidate[] = [];
  const reported = (candidate: Candidate) =>
    saysUnknown(candidate) ? chained.get(nameOf(reportOf(candidate))) : undefined;
  for (const candidate of candidates) {
    const { leaf } = candidate.lines;
    const place = placeOf(candidate);
    const taken = chained.get(nameOf(candidate)) ?? chained.get(place) ?? reported(candidate);
    if (taken === undefined) {
      fresh.push(candidate);
      chained.set(nameOf(candidate), leaf);
      if (place !== '') chained.set(place, leaf);
    } else if (place !== '' && !saysTheSame(candidate, taken)) {
      conflicts.push(candidate);
    }
  }
  return { fresh, conflicts };
}

/** One decision has one outcome, and whoever reports it again stamps it anew: then the first stands. */
function saysTheSame({ kind, lines: { leaf } }: Candidate, taken: string): boolean {
  if (leaf === taken || kind !== 'outcome') return leaf === taken;
  const status = (text: string) => (JSON.parse(text) as { status?: unknown }).status;
  return status(leaf) === status(taken);
}

/** That nobody has reported how a call ended: only as long as nobody has. */
const saysUnknown = ({ kind, source }: Candidate): boolean =>
  kind === 'outcome' && source.stream === 'chainer';
/** The report instead of which it stands. */
const reportOf = ({ tenant, kind, decisionId }: Candidate) => ({ tenant, kind, id: decisionId });

const nameOf = ({ tenant, kind, id }: Pick<Candidate, 'tenant' | 'kind' | 'id'>) =>
  `${tenant}\n${kind}\n${id}`;

/** Empty for what the chainer itself appends: that has no position, and its salts differ at each delivery. */
const placeOf = ({ source: { stream, epoch, sequence, index } }: Pick<Candidate, 'source'>) =>
  stream === 'chainer' ? '' : `${stream}\n${epoch}\n${sequence}\n${index}`;

/**
 * Leaves that are chained under the names of the candidates, or at the places of those with a new name. The heads MUST
 * be locked.
 */
export async function lookUp(
  client: pg.PoolClient,
  candidates: readonly Candidate[],
): Promise<Map<string, string>> {
  const known = new Map<string, string>();
  if (candidates.length === 0) return known;
  const wanted = [...candidates, ...candidates.filter(saysUnknown).map(reportOf)];
  const named = await client.query<Pick<Candidate, 'tenant' | 'kind' | 'id'> & { entry: string }>(
    `select tenant, kind, record_id as id, entry from chain_rows
     join unnest($1::text[], $2::text[], $3::text[]) as wanted (tenant, kind, record_id)
       using (tenant, kind, record_id)`,
    [
      textArray(wanted.map(({ tenant }) => tenant)),
      textArray(wanted.map(({ kind }) => kind)),
      textArray(wanted.map(({ id }) => id)),
    ],
  );
  for (const row of named.rows) known.set(nameOf(row), bodyText(row.entry));

  const unnamed = candidates.filter((candidate) => !known.has(nameOf(candidate)));
  const messages = new Map(
    unnamed.map(({ source }) => [`${source.stream}\n${source.epoch}\n${source.sequence}`, source]),
  );
  const placed = await client.query<ChainSource & { entry: string }>(
    `select source_stream as stream, source_epoch as epoch, source_sequence as sequence, source_index as index, entry
     from chain_rows
     join unnest($1::text[], $2::text[], $3::bigint[]) as wanted (source_stream, source_epoch, source_sequence)
       using (source_stream, source_epoch, source_sequence)
     where source_stream <> 'chainer'`,
    [
      textArray([...messages.values()].map(({ stream }) => stream)),
      textArray([...messages.values()].map(({ epoch }) => epoch)),
      bigintArray([...messages.values()].map(({ sequence }) => sequence)),
    ],
  );
  for (const { entry, ...source } of placed.rows) known.set(placeOf({ source }), bodyText(entry));
  return known;
}
