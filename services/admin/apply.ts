/**
 * What a change does to the state, without any store: which keys it touches and what each becomes. Deterministic, so
 * that the state is a function of the events alone and can be remade from them.
 */
import type { Change, ChangeEvent } from '#contracts/change.ts';
import {
  CONTROL_KEYS,
  type ControlEntry,
  FACT_BYTES_MAX,
  type FactChange,
  mintedKey,
  type MintedRoot,
} from '#contracts/control.ts';
import type { Exception } from '#contracts/exception.ts';
import { canonical, type Json } from '#contracts/json.ts';
import type { ClassMode } from '#contracts/mode.ts';
import type { Switch } from '#contracts/stop.ts';

import { exceptionAfter } from './exception-state.ts';
import { mergePatch } from './merge-patch.ts';
import { modeAfter } from './mode-state.ts';
import { switchAfter } from './switch-state.ts';

/** The value of a key after the change, by the value before it; null = there is no such thing. */
export type Next = (before: Json | null) => unknown;

export interface Effects {
  /** By key of bucket `control`. */
  readonly state: ReadonlyMap<string, Next>;
  /** By key of bucket `keyed`. Such values are written once and never change. */
  readonly minted: ReadonlyMap<string, MintedRoot>;
}

/** Key of each thing that a change replaces whole. */
const PLAIN = {
  tenant: CONTROL_KEYS.tenant,
  issuer: CONTROL_KEYS.issuer,
  agent: CONTROL_KEYS.agent,
  upstream: CONTROL_KEYS.upstream,
  budgets: CONTROL_KEYS.budgets,
  source: CONTROL_KEYS.source,
  routes: CONTROL_KEYS.routes,
  compat: CONTROL_KEYS.compat,
  redaction: CONTROL_KEYS.redaction,
  operator: (_: string, id: string) => CONTROL_KEYS.operator(id),
} as const;

/** Everything that a change touches. */
export function effectsOf({ tenant, at, change }: ChangeEvent): Effects {
  switch (change.kind) {
    case 'facts':
      return { state: factEffects(tenant, change.value), minted: new Map() };
    case 'tools':
      return { state: toolEffects(tenant, change.value), minted: new Map() };
    case 'capability':
      return {
        state: new Map(),
        minted: new Map([[mintedKey(tenant, change.target), change.value.minted]]),
      };
    case 'policy': {
      const put = change.action === 'put';
      const key = put ? CONTROL_KEYS.bundle(tenant, change.target) : CONTROL_KEYS.policy(tenant);
      return { state: new Map([[key, () => change.value]]), minted: new Map() };
    }
    case 'revocation': {
      const { kind, id } = change.value;
      const key = CONTROL_KEYS.revocation(tenant, kind, id);
      // The first one counts: a repeat does not change who revoked it and why.
      return {
        state: new Map([[key, (before) => before ?? { ...change.value, at }]]),
        minted: new Map(),
      };
    }
    case 'switch': {
      if (change.action === 'drill') {
        return { state: new Map([[CONTROL_KEYS.drill, () => change.value]]), minted: new Map() };
      }
      const { scope, id } = change.value;
      const key = CONTROL_KEYS.switch(tenant, scope, id);
      // What stands under the key was made here.
      const next: Next = (before) => switchAfter(before as Switch | null, change, at);
      return { state: new Map([[key, next]]), minted: new Map() };
    }
    case 'mode': {
      const key = CONTROL_KEYS.mode(tenant, change.target);
      const next: Next = (before) => modeAfter(before as ClassMode | null, change.value, at);
      return { state: new Map([[key, next]]), minted: new Map() };
    }
    case 'exception': {
      const key = CONTROL_KEYS.exception(tenant, change.target);
      const next: Next = (before) => exceptionAfter(before as Exception | null, change, at);
      return { state: new Map([[key, next]]), minted: new Map() };
    }
    default: {
      const key = PLAIN[change.kind](tenant, change.target);
      return { state: new Map([[key, () => change.value]]), minted: new Map() };
    }
  }
}

function toolEffects(
  tenant: string,
  { removed, tools }: Extract<Change, { kind: 'tools' }>['value'],
): Map<string, Next> {
  const state = new Map<string, Next>();
  for (const { name, upstream } of removed) {
    state.set(CONTROL_KEYS.tool(tenant, upstream, name), () => null);
  }
  for (const tool of tools) {
    state.set(CONTROL_KEYS.tool(tenant, tool.upstream ?? '', tool.name), () => tool);
  }
  return state;
}

/** Changes of one event apply in their order, also where several name the same fact. */
function factEffects(
  tenant: string,
  { changes, source, as_of: asOf }: Extract<Change, { kind: 'facts' }>['value'],
): Map<string, Next> {
  const state = new Map<string, Next>();
  if (source !== undefined && asOf !== undefined) {
    state.set(CONTROL_KEYS.sourceTime(tenant, source), () => ({ as_of: asOf }));
  }
  for (const change of changes) {
    const key = CONTROL_KEYS.fact(tenant, change.key);
    const earlier = state.get(key) ?? ((before: Json | null) => before);
    // What earlier effects on a fact give is JSON: they were made here.
    state.set(key, (before) => factAfter(earlier(before) as Json | null, change));
  }
  return state;
}

function factAfter(before: Json | null, change: FactChange): Json | null {
  if (change.op === 'delete') return null;
  // A change was read from JSON text, so its value is JSON.
  const value = change.value as Json;
  if (change.op === 'put') return value;
  const merged = mergePatch(before ?? undefined, value);
  // Patches may race past the bound that each of them kept. Unknown refuses calls; half a patch could allow one.
  return Buffer.byteLength(canonical(merged)) > FACT_BYTES_MAX ? null : merged;
}

/**
 * The entry after an event, or undefined when the key has already seen it or a later one: so redelivery, a crash half
 * way and a second projector change nothing.
 */
export function entryAfter(
  entry: ControlEntry | undefined,
  next: Next,
  stamp: { readonly sequence: number; readonly at: number },
): ControlEntry | undefined {
  if (entry !== undefined && entry.sequence >= stamp.sequence) return undefined;
  // What stands in the bucket was read from JSON.
  const value = next((entry?.value ?? null) as Json | null);
  return { sequence: stamp.sequence, at: stamp.at, value };
}
