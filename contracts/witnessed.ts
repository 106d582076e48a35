/** A checkpoint under a policy: signed by a log that is believed, and by how many of the witnesses. Pure, offline. */
import { type Checkpoint, parseCheckpoint } from './checkpoint.ts';
import { openNote, type VerifierKey } from './note.ts';
import { quorumMet, type WitnessPolicy } from './witness-policy.ts';

/** A witness that has cosigned. */
export interface Cosigner {
  /** Name in the policy. */
  readonly witness: string;
  /** Seconds UTC, by its own clock: the log's tree was this one then. */
  readonly seconds: number;
  /** Its signature line. */
  readonly line: string;
}

export interface OpenedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** The key of the policy that the log has signed with. */
  readonly log: VerifierKey;
  readonly cosigners: readonly Cosigner[];
  /** True when they are enough for the policy. */
  readonly witnessed: boolean;
}

/**
 * The checkpoint in a signed note. Undefined when it is malformed, when no log of the policy has signed it, or when a
 * signature by a key of the policy does not hold. Whether it is witnessed is the caller's to ask. Untrusted input.
 */
export function openCheckpoint(note: string, policy: WitnessPolicy): OpenedCheckpoint | undefined {
  const keys = [...policy.logs, ...policy.witnesses].map(({ key }) => key);
  const opened = openNote(note, keys);
  const checkpoint = opened && parseCheckpoint(opened.text);
  if (opened === undefined || checkpoint === undefined) return undefined;
  const log = opened.signatures
    .map(({ key }) => key)
    .find(
      (key) => key.name === checkpoint.origin && policy.logs.some((known) => known.key === key),
    );
  if (log === undefined) return undefined;
  const cosigners = opened.signatures.flatMap(({ key, seconds, line }) =>
    policy.witnesses
      .filter((known) => known.key === key)
      .map(({ name: witness }) => ({ witness, seconds, line })),
  );
  const names = new Set(cosigners.map(({ witness }) => witness));
  const witnessed = quorumMet(policy.quorum, (name) => names.has(name));
  return { checkpoint, log, cosigners, witnessed };
}
