/**
 * Receipts of this worker: what is signed of a decision, and the key that signs. The key lives in this process's memory
 * only; its public half stands in bucket `control` before the first decision names it.
 */
import { generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto';

import { ALLOW_VALID_MS } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { type ReceiptKey, receiptKey } from '#contracts/receipt-key.ts';
import { makeReceipts, statementText } from '#contracts/receipt.ts';
import { sha256 } from '#contracts/record.ts';
import type { ControlView } from '#host/control-view.ts';
import type { Logger } from '#host/log.ts';
import type { KV } from '#host/nats.ts';

import type { Call, Outcome } from './decide.ts';
import type { Decided } from './record.ts';

/** A statement, and the key that it names. */
export interface Unsigned {
  readonly statement: string;
  readonly key: string;
}

/** One receipt for each record that asks for one, at its place. Never throws. */
export type SignReceipts = (
  records: readonly { readonly receipt?: Unsigned }[],
) => readonly (string | undefined)[];

export interface Receipts {
  /** Public half of the key in use. */
  readonly key: () => string;
  readonly sign: SignReceipts;
  readonly close: () => void;
}

/** A key signs for a day and is listed for two, so that a copy of the list may be old. */
const SIGNS_MS = 24 * 3_600_000;
const LISTED_MS = 2 * SIGNS_MS;
/** The entry is written again in case the bucket was made anew. */
const ANNOUNCE_MS = 60_000;

interface Key {
  readonly name: string;
  readonly secret: KeyObject;
  readonly madeAt: number;
}

export interface ReceiptsParts {
  /** Bucket `control`. */
  readonly bucket: Pick<KV, 'put' | 'delete'>;
  readonly view: Pick<ControlView, 'get' | 'keys'>;
  readonly worker: string;
  readonly macKeys: MacKeys;
  readonly log: Logger;
}

/** Makes a key and resolves when its public half is stored. */
export async function createReceipts(parts: ReceiptsParts): Promise<Receipts> {
  let current = freshKey();
  /** The one before stays for decisions that named it and are not recorded yet. */
  let keys = new Map([[current.name, current]]);
  await announce(parts, current);
  await forgetOld(parts);
  const renew = async () => {
    const next = Date.now() - current.madeAt < SIGNS_MS ? current : freshKey();
    await announce(parts, next);
    keys = new Map([
      [current.name, current],
      [next.name, next],
    ]);
    current = next;
  };
  const timer = setInterval(() => {
    renew().catch((error: unknown) => parts.log.warn({ err: error }, 'a key was not announced'));
  }, ANNOUNCE_MS);
  return {
    key: () => current.name,
    sign: (records) => signAll(records, (name) => keys.get(name) ?? current),
    close: () => clearInterval(timer),
  };
}

function freshKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return { name: x, secret: privateKey, madeAt: Date.now() };
}

async function announce({ bucket, worker, macKeys }: ReceiptsParts, key: Key): Promise<void> {
  const macKey = macKeys.get('decision-worker')?.[0];
  if (macKey === undefined) throw new Error('no MAC key for decision-worker');
  const value = receiptKey(key.name, { worker, until: key.madeAt + LISTED_MS }, macKey);
  const entry = { sequence: 0, at: Date.now(), value };
  await bucket.put(CONTROL_KEYS.signer(key.name), JSON.stringify(entry));
}

/** Removes what workers that ended have left. */
async function forgetOld({ bucket, view }: ReceiptsParts): Promise<void> {
  for (const name of view.keys(CONTROL_KEYS.signer(''))) {
    const value = view.get<ReceiptKey>(name)?.value ?? null;
    if (value !== null && value.until < Date.now()) await bucket.delete(name);
  }
}

function signAll(
  records: readonly { readonly receipt?: Unsigned }[],
  keyOf: (name: string) => Key,
): readonly (string | undefined)[] {
  const wanted = records.flatMap(({ receipt }) => receipt ?? []);
  if (wanted.length === 0) return [];
  const receipts = new Map<Unsigned, string>();
  for (const [name, group] of Map.groupBy(wanted, ({ key }) => key)) {
    const { secret } = keyOf(name);
    const made = makeReceipts(
      group.map(({ statement }) => statement),
      (text) => signBytes(null, Buffer.from(text), secret),
    );
    for (const [index, unsigned] of group.entries()) receipts.set(unsigned, made[index] ?? '');
  }
  return records.map(({ receipt }) => (receipt === undefined ? undefined : receipts.get(receipt)));
}

/** What will be signed of a decision. @param bound the leaf's commitment to the call, and its salt */
export function unsignedReceipt(
  { envelope, tenant, args, at, tool }: Call,
  { grant, verdict }: Outcome,
  decided: Decided,
  bound: { readonly commitment: string; readonly nonce: string },
): Unsigned {
  const key = decided.receiptKey;
  const statement = statementText({
    args_hash: sha256(args),
    at,
    call: bound.commitment,
    decision_id: decided.id,
    definition_hash: tool.definitionHash,
    exp: at + ALLOW_VALID_MS,
    key,
    nonce: bound.nonce,
    policy: grant?.policies.find(({ role }) => role === 'tenant')?.digest ?? '',
    tenant,
    tool: envelope.tool,
    upstream: tool.upstream,
    v: 1,
    verdict,
    worker: decided.worker,
  });
  return { statement, key };
}
