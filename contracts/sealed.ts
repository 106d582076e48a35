/** Events of stream SEALED, the feed for SIEMs: what is under a witnessed checkpoint, first of all the checkpoints. */
import { type Static, Type } from 'typebox';

/** A checkpoint that has met the witness policy. At least once, in the order of sizes; the size is its id. */
export const SealedCheckpoint = Type.Object(
  {
    /** Milliseconds UTC when the log signed it. */
    at: Type.Integer(),
    kind: Type.Literal('checkpoint'),
    note: Type.String({
      description:
        'The signed note with the cosignatures that it has (C2SP tlog-checkpoint): all that counts, the rest repeats it.',
    }),
    origin: Type.String({ description: 'Name of the log.' }),
    root: Type.String({ description: 'Base64 of 32 bytes.' }),
    size: Type.Integer({ minimum: 1 }),
    v: Type.Literal(1),
    /** Milliseconds UTC when the policy was met. */
    witnessed_at: Type.Integer(),
  },
  { additionalProperties: false },
);
export type SealedCheckpoint = Static<typeof SealedCheckpoint>;
