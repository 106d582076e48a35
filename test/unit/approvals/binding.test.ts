// What an approval is bound to: of twenty thousand changes of one field or one byte, none is the same call.

import { createHash } from 'node:crypto';

import { expect, it } from 'vitest';

import {
  APPROVAL_KEYS,
  type ApprovalEntry,
  type Bound,
  bindingOf,
  openEntry,
  sealEntry,
} from '#contracts/approval.ts';
import { callHash } from '#contracts/call-hash.ts';
import { asApprovalId, type TenantId } from '#contracts/ids.ts';
import { canonical, type JsonObject } from '#contracts/json.ts';
import { sha256 } from '#contracts/record.ts';
import { runs } from '#test/support/runs.ts';

const MUTATIONS = runs(20_000).numRuns;
const key = Buffer.alloc(32, 7);

interface Held {
  readonly tenant: string;
  readonly upstream: string;
  readonly tool: string;
  readonly definition: string;
  readonly arguments: string;
  readonly principal: JsonObject;
  readonly floor: string;
  readonly policy: string;
  readonly risk: string;
  readonly route: string;
  readonly quorum: number;
  readonly effect: string;
}

const HELD: Held = {
  tenant: 'acme',
  upstream: 'shop',
  tool: 'refund_order',
  definition: `sha256:${'1'.repeat(64)}`,
  arguments: canonical({ amount: 450, note: 'für Zoë', order_id: 'ord_1002', to: ['a', 'b'] }),
  principal: {
    actors: ['shop-agent', 'planner'],
    agent: 'shop-agent',
    agent_class: 'support',
    on_behalf_of: 'alice@example.com',
    tenant: 'acme',
    workflow: 'case-7',
  },
  floor: `sha256:${'2'.repeat(64)}`,
  policy: `sha256:${'3'.repeat(64)}`,
  risk: 'high',
  route: 'refunds',
  quorum: 2,
  effect: 'Pay 450 EUR back.',
};

/** As worker and approval-escalation make it, each from its own side. */
function nameOf(held: Held, with_ = key): string {
  const bound: Bound = {
    callHash: callHash({
      tenant: held.tenant,
      upstream: held.upstream,
      tool: held.tool,
      definitionHash: held.definition,
      argsHash: sha256(held.arguments),
    }),
    principal: canonical(held.principal),
    policies: [held.floor, held.policy],
    asked: {
      risk: held.risk as never,
      route: held.route,
      quorum: held.quorum,
      effect: held.effect,
    },
  };
  return bindingOf(with_, bound);
}

/** The n-th number of a sequence that is the same at each run. */
const drawn = (n: number): number =>
  createHash('sha256').update(`mutation ${n}`).digest().readUInt32BE();

/** Text with one change: a bit of a byte, a byte more, a byte less, or two neighbours swapped. */
function changedText(text: string, n: number): string {
  const bytes = Buffer.from(text);
  const at = drawn(n) % Math.max(bytes.length, 1);
  const kind = drawn(n + 1) % 4;
  if (kind === 0 && bytes.length > 0) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ (1 << (drawn(n + 2) % 7));
    return changed.toString('latin1');
  }
  if (kind === 1)
    return `${text.slice(0, at)}${String.fromCharCode(33 + (drawn(n) % 90))}${text.slice(at)}`;
  if (kind === 2 && text.length > 0) return text.slice(0, at) + text.slice(at + 1);
  return `${text.slice(at)}${text.slice(0, at)} `;
}

/** The same held call but for one of its fields. */
function mutated(n: number): Held {
  const fields = Object.keys(HELD) as (keyof Held)[];
  const field = fields[n % fields.length] ?? 'tool';
  const value = HELD[field];
  if (typeof value === 'number') return { ...HELD, [field]: value + 1 + (drawn(n) % 8) };
  if (typeof value === 'string') return { ...HELD, [field]: changedText(value, n) };
  const parts = Object.keys(value);
  const part = parts[drawn(n) % parts.length] ?? 'agent';
  const before = value[part];
  const after =
    typeof before === 'string'
      ? changedText(before, n)
      : [...(before as string[]), `actor ${drawn(n)}`].toSorted();
  return { ...HELD, principal: { ...value, [part]: after } };
}

it('any change of one field or one byte is another call', () => {
  const name = nameOf(HELD);
  const text = JSON.stringify(HELD);
  let changes = 0;
  for (let n = 0; changes < MUTATIONS; n++) {
    const held = mutated(n);
    if (JSON.stringify(held) === text) continue;
    changes++;
    if (nameOf(held) === name) expect(held).toEqual(HELD);
  }
  expect(nameOf({ ...HELD })).toBe(name);
});

it('nobody without the key can tell or find the name of a call', () => {
  expect(nameOf(HELD, Buffer.alloc(32, 8))).not.toBe(nameOf(HELD));
});

it('of a sealed entry no byte can be changed, and it is no entry of another place', () => {
  const tenant = 'acme' as TenantId;
  const id = asApprovalId('019a1b2c-0000-7000-8000-000000000000');
  const place = APPROVAL_KEYS.id(tenant, id);
  const entry: ApprovalEntry = {
    approval_id: id,
    decision_id: '',
    effect: '',
    expires_at: 1,
    note: '',
    position: 1,
    principal: 'p',
    state: 'denied',
    step: 2,
    used: 0,
    uses: 1,
  };
  const keys = new Map([['approval-escalation', [key]]]);
  const sealed = sealEntry(key, place, entry);
  expect(openEntry(keys, place, sealed)).toEqual(entry);
  expect(openEntry(keys, APPROVAL_KEYS.call(tenant, 'b'.repeat(40)), sealed)).toBe('wrong');
  for (let at = 0; at < sealed.length; at++) {
    const bytes = Buffer.from(sealed);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(typeof openEntry(keys, place, bytes.toString())).toBe('string');
  }
});
