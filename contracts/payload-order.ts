/**
 * Orders about payloads: erase, hold, release a hold, retain for some days. Each is an event in the chain of its tenant;
 * the chainer keeps and carries them out. None of them touches a leaf, so every proof stays valid.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { StopReason } from './stop.ts';

const closed = { additionalProperties: false } as const;
const Text = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,256}$' });
const Moment = Type.Integer({ minimum: 0, description: 'Milliseconds UTC.' });

/** Which payloads: all conditions must fit the decision that a payload is of, or about. */
export const PayloadSelection = Type.Object(
  {
    decision_id: Type.Optional(Text),
    agent: Type.Optional(Text),
    person: Type.Optional(Type.Unsafe<string>({ ...Text, description: 'The pseudonym.' })),
    from: Type.Optional(Moment),
    until: Type.Optional(Type.Unsafe<number>({ ...Moment, description: 'Exclusive.' })),
  },
  { ...closed, minProperties: 1 },
);
export type PayloadSelection = Static<typeof PayloadSelection>;

const DAYS_MAX = 36_500;

/** What an event of kind `payloads` says, by its action. */
const erase = { action: Type.Literal('erase'), selection: PayloadSelection };
const hold = { action: Type.Literal('hold'), selection: PayloadSelection };
/** `hold` is the id of the order. */
const release = { action: Type.Literal('release'), hold: Text };
/** null = for good. The newest counts. */
const retain = {
  action: Type.Literal('retain'),
  days: Type.Union([Type.Integer({ minimum: 1, maximum: DAYS_MAX }), Type.Null()]),
};

export const PayloadOrder = Type.Union([
  Type.Object(erase, closed),
  Type.Object(hold, closed),
  Type.Object(release, closed),
  Type.Object(retain, closed),
]);
export type PayloadOrder = Static<typeof PayloadOrder>;

const why = { reason: StopReason };

export const PayloadOrderRequest = Type.Union([
  Type.Object({ ...erase, ...why }, closed),
  Type.Object({ ...hold, ...why }, closed),
  Type.Object({ ...release, ...why }, closed),
  Type.Object({ ...retain, ...why }, closed),
]);
export type PayloadOrderRequest = Static<typeof PayloadOrderRequest>;

const check = Compile(PayloadOrder);

/** The order in section `value` of a payload line; undefined for any other text. */
export function readPayloadOrder(payload: string): PayloadOrder | undefined {
  // Canonical JSON that admin wrote; the section is untrusted all the same.
  const { sections } = JSON.parse(payload) as { readonly sections: Record<string, unknown> };
  const value = sections['value'];
  return check.Check(value) ? value : undefined;
}
