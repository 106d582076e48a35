/** What the checks read of the control view: registrations, settings, facts, ceilings, modes. All in memory. */
import { hash, createHmac } from 'node:crypto';

import type { Budgets, Ceiling, RunawayRule } from '#contracts/ceilings.ts';
import { type Agent, CONTROL_KEYS, type TenantSettings } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import type { ControlView } from '#host/control-view.ts';

export interface State {
  readonly agent: (tenant: TenantId, id: string) => Agent | undefined;
  readonly settings: (tenant: TenantId) => TenantSettings;
  readonly ceilings: (tenant: TenantId) => readonly Ceiling[];
  readonly runaway: (tenant: TenantId, agentClass: string) => RunawayRule | undefined;
  readonly fact: (
    tenant: TenantId,
    key: string,
  ) => { readonly value: Json; readonly text: string } | undefined;
  readonly factsRevision: () => string;
  readonly pseudonym: (tenant: TenantId, person: string) => string;
}

const NO_SETTINGS: TenantSettings = {};
const NO_CEILINGS: readonly Ceiling[] = [];
const PSEUDONYM_HEX = 32;

/** @param pseudonymKey makes pseudonyms that nobody can recompute without it */
export function stateOf(view: ControlView, pseudonymKey: Uint8Array): State {
  const facts = new Map<string, { readonly value: Json; readonly text: string }>();
  view.onChange((key, entry) => {
    if (!key.startsWith('fact.')) return;
    if (entry.value === null) facts.delete(key);
    else {
      // Facts were checked as I-JSON when they were put.
      const value = entry.value as Json;
      facts.set(key, { value, text: canonical(value) });
    }
  });
  return {
    agent: (tenant, id) => view.get<Agent>(CONTROL_KEYS.agent(tenant, id))?.value ?? undefined,
    settings: (tenant) =>
      view.get<TenantSettings>(CONTROL_KEYS.tenant(tenant))?.value ?? NO_SETTINGS,
    ceilings: (tenant) =>
      view.get<Budgets>(CONTROL_KEYS.budgets(tenant))?.value?.ceilings ?? NO_CEILINGS,
    runaway: (tenant, agentClass) =>
      view
        .get<Budgets>(CONTROL_KEYS.budgets(tenant))
        ?.value?.runaway?.find(({ class: name }) => name === agentClass),
    fact: (tenant, key) => facts.get(CONTROL_KEYS.fact(tenant, key)),
    factsRevision: () => view.revision(),
    pseudonym: (tenant, person) =>
      `p_${createHmac('sha256', pseudonymKey).update(tenant).update('\n').update(person).digest('hex').slice(0, PSEUDONYM_HEX)}`,
  };
}

/** Scope of a budget counter as one subject token. */
export const scopeToken = (text: string): string => hash('sha256', text, 'hex').slice(0, 26);
