/**
 * The decision on one screen: five checks in order, and the first that does not pass is the decision. Each step's
 * result is an argument of the next, so the order cannot be shuffled and no step can be skipped.
 */
import type { BudgetShare, Draw } from '#contracts/budget.ts';
import type { CallEnvelope, Verdict } from '#contracts/call.ts';
import type { Agent } from '#contracts/control.ts';
import type { CheckEvidence, PolicyUse } from '#contracts/decision.ts';
import type { ApprovalId, TenantId } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';
import type { Obligation, PolicyInput, PolicyOutput } from '#contracts/policy.ts';
import type { Reason } from '#contracts/reasons.ts';
import type { SenderKeys } from '#contracts/sender.ts';

/** One call as the worker judges it. `trace` collects how each check ended. */
export interface Call {
  readonly envelope: CallEnvelope;
  readonly tenant: TenantId;
  /** Canonical JSON text of the arguments: what is judged, hashed and recorded. */
  readonly args: string;
  readonly arguments: JsonObject;
  /** The one time of this decision: milliseconds UTC. */
  readonly at: number;
  readonly tool: ToolFound;
  readonly trace: CheckEvidence[];
}

/** A tool of the catalogue, or why there is none. `upstream` is what the call resolved to. */
export interface ToolFound {
  readonly fault: '' | 'tool.unknown' | 'tool.ambiguous';
  readonly upstream: string;
  readonly definitionHash: string;
  /** Empty = the arguments fit; undefined = the tool has no schema. */
  readonly argumentsFault: ((value: JsonObject) => string) | undefined;
}

/** Who calls, for whom. Built once for a verified token; `input` is its canonical JSON in the policy input. */
export interface Principal {
  readonly agent: string;
  readonly agentClass: string;
  readonly person: string;
  /** True when an enforcement point named the person; its own identity is the agent's. */
  readonly asserted: boolean;
  /** Keyed pseudonym of the person, empty without one. */
  readonly pseudonym: string;
  readonly workflow: string;
  readonly session: string;
  readonly task: string;
  readonly purpose: string;
  readonly actors: readonly string[];
  /** Keys that the sender of this call proved to hold. */
  readonly sender: SenderKeys;
  readonly registered: Agent;
  /** Digest of tenant, agent and person: whoever resumes or reports must have the same. */
  readonly digest: string;
  readonly identity: {
    readonly issuer: string;
    readonly token: string;
    readonly expiresAt: number;
    /** Claim `act` whole as canonical JSON, where it says more than `actors`; else empty. */
    readonly act: string;
  };
  readonly input: PolicyInput['principal'];
  readonly inputText: string;
}

/** What the caller may do at most. */
export interface Held {
  readonly kind: 'token' | 'compat' | 'standing' | 'none';
  readonly id: string;
  readonly root: string;
  /** Counters that every call under this capability draws on. */
  readonly callLimits: readonly {
    readonly link: string;
    readonly calls: number;
    readonly expiresAt: number;
  }[];
  /** The same for an argument that is added up; `total` in millionths. */
  readonly amountLimits: readonly {
    readonly link: string;
    readonly path: string;
    readonly total: number;
    readonly expiresAt: number;
  }[];
  readonly inputText: string;
}

export interface Intent {
  readonly task: string;
  readonly inputText: string;
}

/** What the policies returned. `inputText` is the exact input they saw. */
export interface Grant {
  readonly policies: readonly PolicyUse[];
  readonly revision: string;
  readonly factsRevision: string;
  readonly inputText: string;
  readonly policyReason: string;
  readonly message: string;
  readonly obligations: readonly Obligation[];
  readonly labels: readonly string[];
  readonly cost: number;
  readonly approval: PolicyOutput['approval'];
  readonly output: { readonly floor: PolicyOutput | null; readonly tenant: PolicyOutput | null };
}

/** What people said of a held call before. */
export interface Release {
  readonly is: 'pending' | 'approved' | 'denied' | 'edited' | 'used';
  readonly approvalId: ApprovalId;
  /** It is a grant for such calls, not a yes to exactly this one. */
  readonly grant: boolean;
  /** Milliseconds UTC. */
  readonly expiresAt: number;
  readonly uses: number;
  /** At least so many are used; which ones are free, only recording tells. */
  readonly used: number;
  /** A person's words for the agent. */
  readonly note: string;
}

/** This call's share of every ceiling that applies to it. MUST end by `spent` or `refund`. */
export interface Reservation {
  readonly shares: readonly BudgetShare[];
  readonly draws: readonly Draw[];
  /** By performance.now(): one that is older than TAKE_MS may be somebody else's by now. */
  readonly at: number;
  readonly spent: () => void;
  readonly refund: () => void;
}

export interface Refusal<T> {
  readonly ok: false;
  readonly verdict: 'block' | 'escalate';
  readonly reason: Reason;
  /** For the operator; never shown to the caller. */
  readonly detail: string;
  /** What was found on the way, for the record. */
  readonly found: T | undefined;
}

export type Checked<T> = { readonly ok: true; readonly value: T } | Refusal<T>;

export interface Checks {
  readonly identity: (call: Call) => Promise<Checked<Principal>>;
  readonly capability: (call: Call, by: Principal) => Promise<Checked<Held>>;
  readonly intent: (call: Call, by: Principal) => Promise<Checked<Intent>>;
  readonly policy: (
    call: Call,
    by: Principal,
    under: Held,
    intent: Intent,
  ) => Promise<Checked<Grant>>;
  /** Asked only where the policy says escalate. */
  readonly approval: (call: Call, by: Principal, held: Refusal<Grant>) => Promise<Checked<Release>>;
  readonly budget: (
    call: Call,
    by: Principal,
    under: Held,
    grant: Grant | undefined,
  ) => Promise<Checked<Reservation>>;
}

/** A refusal that does not stand. `by`: the mode that lifts it, or `exception:<id>`. */
export interface Lifted {
  readonly verdict: Verdict;
  readonly reason: Reason;
  readonly detail: string;
  readonly by: string;
}

/** What lifts a refusal; empty = nothing. MUST lift only what the table of reasons calls liftable. */
export type Lift = (call: Call, by: Principal, reason: Reason) => string;

/** Verdict, reason and the evidence that there was when the decision was made. */
export interface Outcome {
  readonly verdict: Verdict;
  readonly reason: Reason;
  readonly detail: string;
  readonly principal: Principal | undefined;
  readonly held: Held | undefined;
  readonly intent: Intent | undefined;
  readonly grant: Grant | undefined;
  readonly release: Release | undefined;
  readonly reservation: Reservation | undefined;
  /** In order. The first one's verdict is what would have happened. */
  readonly lifted: readonly Lifted[];
}

/**
 * Five checks in order; the first that does not pass is the decision. Behind a refusal that is lifted the rest is
 * still asked: one that nothing lifts, such as the floor's, may come later.
 */
export async function decide(call: Call, check: Checks, lift: Lift): Promise<Outcome> {
  const principal = await check.identity(call);
  if (!principal.ok) return refused(principal, { principal: principal.found });
  const by = principal.value;
  const lifted: Lifted[] = [];
  const lifts = ({ verdict, reason, detail }: Refusal<unknown>): boolean => {
    const what = lift(call, by, reason);
    if (what !== '') lifted.push({ verdict, reason, detail, by: what });
    return what !== '';
  };

  const held = await check.capability(call, by);
  if (!held.ok && !(known(held) && lifts(held)))
    return refused(held, { principal: by, held: held.found, lifted });
  const under = held.ok ? held.value : held.found;

  const intent = await check.intent(call, by);
  if (!intent.ok && !(known(intent) && lifts(intent)))
    return refused(intent, { principal: by, held: under, intent: intent.found, lifted });
  const purpose = intent.ok ? intent.value : intent.found;

  const grant = await check.policy(call, by, under, purpose);
  const found = grant.ok ? grant.value : grant.found;
  const evidence = { principal: by, held: under, intent: purpose, grant: found, lifted };
  const waived = !grant.ok && lifts(grant);
  if (!grant.ok && !waived && grant.verdict === 'block') return refused(grant, evidence);
  // Escalate and a matching approval become allow here; a plain allow looks nothing up.
  const release = grant.ok || waived ? undefined : await check.approval(call, by, grant);
  if (release?.ok === false) return refused(release, { ...evidence, release: release.found });

  const reservation = await check.budget(call, by, under, found);
  const granted = { ...evidence, release: release?.value };
  if (!reservation.ok && !lifts(reservation)) return refused(reservation, granted);
  const allowed = release === undefined ? 'policy.allowed' : 'policy.approved';

  return {
    ...NOTHING,
    ...granted,
    verdict: 'allow',
    reason: lifted[0]?.reason ?? allowed,
    detail: lifted[0]?.detail ?? '',
    reservation: reservation.ok ? reservation.value : undefined,
  };
}

/** A check that can go on with what it found. */
const known = <T>(refusal: Refusal<T>): refusal is Refusal<T> & { readonly found: T } =>
  refusal.found !== undefined;

const NOTHING = {
  detail: '',
  principal: undefined,
  held: undefined,
  intent: undefined,
  grant: undefined,
  release: undefined,
  reservation: undefined,
  lifted: [],
} as const;

type Evidence = Partial<
  Pick<Outcome, 'principal' | 'held' | 'intent' | 'grant' | 'release' | 'lifted'>
>;

function refused({ verdict, reason, detail }: Refusal<unknown>, evidence: Evidence): Outcome {
  return { ...NOTHING, ...evidence, verdict, reason, detail };
}

/** A refusal of a check. */
export function block<T>(reason: Reason, detail = '', found?: T): Refusal<T> {
  return { ok: false, verdict: 'block', reason, detail, found };
}

/** A passed check. */
export const pass = <T>(value: T): Checked<T> => ({ ok: true, value });
