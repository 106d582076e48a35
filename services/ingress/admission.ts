/**
 * Who may ask how often. A token that a worker has proved counts against its tenant and agent; before that it counts
 * only against a small share of its source address, so that nobody can use up the rate of a tenant by naming it.
 * Nothing here decides about a call: a refusal says "slow down", in time to keep the others served.
 */
import { hash } from 'node:crypto';

import type { WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS, type TenantSettings } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { type Reason, reasonSpec } from '#contracts/reasons.ts';
import type { ControlView } from '#host/control-view.ts';

import { type Issuers, peekCapability, peekIdentity } from './identity-peek.ts';

/** Each limit holds for one ingress process; a burst of one second's worth is let through. */
export interface AdmissionLimits {
  readonly tenantCallsPerSecond: number;
  readonly agentCallsPerSecond: number;
  /** Arguments and identities that one tenant may send on to workers and into the evidence stream. */
  readonly tenantBytesPerSecond: number;
  /** Calls with tokens that no worker has proved yet, from one address (IPv6: one /64). */
  readonly sourceCallsPerSecond: number;
  /** The same over all addresses. */
  readonly unprovenCallsPerSecond: number;
}

/** A token bucket: `level` of what may pass now, as of `at` in milliseconds. */
interface Bucket {
  level: number;
  at: number;
}

interface Tenant {
  readonly calls: Bucket;
  readonly bytes: Bucket;
  callsPerSecond: number;
  agentCallsPerSecond: number;
}

/** A token that a worker proved. */
interface Caller {
  readonly tenant: TenantId;
  /** Milliseconds UTC after which nothing of this counts any more. */
  readonly expiresAt: number;
  /** Of the issuers, when the tenant was looked up. */
  generation: number;
  agent: Bucket | undefined;
}

/** A call that may be asked about; hand it back with the worker's answer. */
export interface Admitted {
  readonly tenant: TenantId;
  /** SHA-256 of the token, so that no bearer token stands in memory for longer than its call. */
  readonly digest: string;
  readonly caller: Caller;
}

/** A call that asks to be let in. */
export interface Applicant {
  readonly identity: string;
  /** True where `identity` is a capability: it is proved apart from what the other routes take. */
  readonly capability?: boolean;
  readonly address: string;
  /** About what the call adds to bus and stream. */
  readonly bytes: number;
  /** Milliseconds UTC. */
  readonly now: number;
}

export interface Admission {
  /** identity.* when the token names no tenant, service.*_rate when there are too many calls. */
  readonly admit: (applicant: Applicant) => Admitted | Reason;
  /** Remembers whether the worker proved the token, and whose it is. */
  readonly learn: (admitted: Admitted, answer: WorkerAnswer) => void;
}

/** About 200 bytes each; a hit moves a caller to the young end, the oldest goes. */
const CALLERS_MAX = 50_000;
const AGENTS_MAX = 50_000;
const SOURCES_MAX = 10_000;
/** A token without `exp`, or with a distant one, is proved anew after this. */
const PROVEN_MAX_MS = 3_600_000;
const TENANT_PREFIX = CONTROL_KEYS.tenant('');

/** @param view tells the rates that tenants have of their own */
export function createAdmission(
  limits: AdmissionLimits,
  issuers: Issuers,
  view: Pick<ControlView, 'onChange'>,
): Admission {
  const gate = new Gate(limits, issuers);
  view.onChange((key, entry) => {
    if (!key.startsWith(TENANT_PREFIX)) return;
    // Checked against its schema before it was projected.
    gate.setRates(key.slice(TENANT_PREFIX.length), entry.value as TenantSettings | null);
  });
  return {
    admit: (applicant) => gate.admit(applicant),
    learn: (admitted, answer) => gate.learn(admitted, answer),
  };
}

class Gate {
  readonly #limits: AdmissionLimits;
  readonly #issuers: Issuers;
  readonly #tenants = new Map<string, Tenant>();
  readonly #callers = new Map<string, Caller>();
  readonly #agents = new Map<string, Bucket>();
  readonly #sources = new Map<string, Bucket>();
  readonly #unproven = full();

  constructor(limits: AdmissionLimits, issuers: Issuers) {
    this.#limits = limits;
    this.#issuers = issuers;
  }

  setRates(tenant: string, settings: TenantSettings | null): void {
    const { tenantCallsPerSecond, agentCallsPerSecond } = this.#limits;
    const rates = this.#tenant(tenant);
    rates.callsPerSecond = settings?.calls_per_second ?? tenantCallsPerSecond;
    rates.agentCallsPerSecond = settings?.agent_calls_per_second ?? agentCallsPerSecond;
  }

  admit(applicant: Applicant): Admitted | Reason {
    if (applicant.identity === '') return 'identity.missing';
    const { identity, capability = false } = applicant;
    const digest = hash('sha256', capability ? `capability ${identity}` : identity, 'base64');
    const caller = this.#proven(digest, applicant);
    if (caller === undefined) return this.#admitUnproven(digest, applicant);
    return this.#overRate(caller, applicant) ?? { tenant: caller.tenant, digest, caller };
  }

  learn({ tenant, digest, caller }: Admitted, answer: WorkerAnswer): void {
    if (answer.kind === 'refused' && !answer.proven) {
      if (reasonSpec(answer.code).check === 'identity') this.#callers.delete(digest);
      return;
    }
    if (this.#callers.get(digest) !== caller) keep(this.#callers, CALLERS_MAX, digest, caller);
    if (caller.agent !== undefined || answer.kind === 'refused') return;
    const name = `${tenant}\n${answer.agent}`;
    caller.agent = this.#agents.get(name) ?? keep(this.#agents, AGENTS_MAX, name, full());
  }

  #admitUnproven(digest: string, applicant: Applicant): Admitted | Reason {
    const { address, now } = applicant;
    const source = sourceOf(address);
    const share = this.#sources.get(source) ?? keep(this.#sources, SOURCES_MAX, source, full());
    const { sourceCallsPerSecond, unprovenCallsPerSecond } = this.#limits;
    if (!take(share, sourceCallsPerSecond, 1, now)) return 'service.source_rate';
    if (!take(this.#unproven, unprovenCallsPerSecond, 1, now)) return 'service.source_rate';
    const peeked = this.#peek(applicant);
    if (typeof peeked === 'string') return peeked;
    const latest = now + PROVEN_MAX_MS;
    const expiresAt = peeked.expiresAt === 0 ? latest : Math.min(peeked.expiresAt, latest);
    const generation = this.#issuers.generation();
    const caller = { tenant: peeked.tenant, expiresAt, generation, agent: undefined };
    return { tenant: peeked.tenant, digest, caller };
  }

  #peek({ identity, capability = false }: Applicant) {
    return capability
      ? peekCapability(identity, this.#issuers)
      : peekIdentity(identity, this.#issuers);
  }

  #proven(digest: string, applicant: Applicant): Caller | undefined {
    const caller = this.#callers.get(digest);
    if (caller === undefined) return undefined;
    this.#callers.delete(digest);
    if (applicant.now >= caller.expiresAt) return undefined;
    if (caller.generation !== this.#issuers.generation()) {
      // Issuers changed: the token stays proven only where it still names the same tenant.
      const peeked = this.#peek(applicant);
      if (typeof peeked === 'string' || peeked.tenant !== caller.tenant) return undefined;
      caller.generation = this.#issuers.generation();
    }
    this.#callers.set(digest, caller);
    return caller;
  }

  #overRate({ tenant: id, agent }: Caller, { bytes, now }: Applicant): Reason | undefined {
    const tenant = this.#tenant(id);
    // The agent first: what it is refused must not use up its tenant's share.
    if (agent !== undefined && !take(agent, tenant.agentCallsPerSecond, 1, now)) {
      return 'service.agent_rate';
    }
    const within =
      take(tenant.calls, tenant.callsPerSecond, 1, now) &&
      take(tenant.bytes, this.#limits.tenantBytesPerSecond, bytes, now);
    return within ? undefined : 'service.tenant_rate';
  }

  #tenant(id: string): Tenant {
    const { tenantCallsPerSecond: callsPerSecond, agentCallsPerSecond } = this.#limits;
    return (
      this.#tenants.get(id) ??
      keep(this.#tenants, Number.POSITIVE_INFINITY, id, {
        calls: full(),
        bytes: full(),
        callsPerSecond,
        agentCallsPerSecond,
      })
    );
  }
}

const full = (): Bucket => ({ level: Number.POSITIVE_INFINITY, at: 0 });

/** Takes from a bucket that refills by `perSecond` and holds one second's worth. */
function take(bucket: Bucket, perSecond: number, amount: number, now: number): boolean {
  const refill = (Math.max(0, now - bucket.at) * perSecond) / 1_000;
  bucket.level = Math.min(perSecond, bucket.level + refill);
  bucket.at = now;
  if (bucket.level < amount) return false;
  bucket.level -= amount;
  return true;
}

function keep<T>(map: Map<string, T>, max: number, name: string, value: T): T {
  map.delete(name);
  for (const oldest of map.keys()) {
    if (map.size < max) break;
    map.delete(oldest);
  }
  map.set(name, value);
  return value;
}

/** An IPv6 address counts by its /64: whoever has one address there has them all. */
function sourceOf(address: string): string {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  if (!plain.includes(':')) return plain;
  return `${plain.split('::')[0]?.split(':').slice(0, 4).join(':') ?? ''}::`;
}
