import type { WorkerAnswer } from '#contracts/call.ts';
/** What a caller is told about itself: who it is here, what it holds, which tools it may call and why not. */
import type { Caveat } from '#contracts/capability/caveats.ts';
import type { Standing } from '#contracts/me.ts';

import type { BudgetsLeft } from './budgets-left.ts';
import { situation } from './checks/capability.ts';
import type { Call, Principal } from './decide.ts';
import { type Sight, sightOf, type VisibleParts } from './visible.ts';

/** The last millisecond of the year 9999: an identity may claim to live longer. */
const INSTANT_MAX = 253_402_300_799_999;
/** A catalogue can be larger than one answer. */
const TOOLS_MAX = 2_000;

export interface MeParts extends VisibleParts {
  readonly budgetsLeft: BudgetsLeft;
}

export function createMe(parts: MeParts): (call: Call) => Promise<WorkerAnswer> {
  return async (call) => {
    const sight = await sightOf(parts, call);
    if ('kind' in sight) return sight;
    const { by, holds, hides } = sight;
    const tools = parts.catalogue.tools(call.tenant).slice(0, TOOLS_MAX);
    const standing: Standing = {
      identity: identityOf(call, by, parts.capabilities.audience),
      capability: capabilityOf(sight),
      tools: tools.map(({ upstream = '', name }) => ({
        upstream,
        name,
        reason: hides(upstream, name),
      })),
      budgets: await parts.budgetsLeft(call, by, holds.token?.held),
    };
    return {
      n: call.envelope.n,
      kind: 'me',
      agent: by.agent,
      principal: by.digest,
      standing,
    };
  };
}

function identityOf(call: Call, by: Principal, audience: string): Standing['identity'] {
  return {
    tenant: call.tenant,
    agent: by.agent,
    agent_class: by.agentClass,
    on_behalf_of: by.person,
    actors: [...by.actors],
    workflow: by.workflow,
    session: by.session,
    task: situation(call, by, audience).task,
    expires_at: new Date(Math.min(by.identity.expiresAt, INSTANT_MAX)).toISOString(),
  };
}

function capabilityOf({ holds }: Sight): Standing['capability'] {
  const { grant, token, fault } = holds;
  const caveats = (grant?.caveats ?? []).map((caveat: Caveat) => ({ ...caveat }));
  const kind = grant === undefined ? 'none' : (token?.held.kind ?? 'standing');
  return { kind, id: token?.jti ?? '', caveats, fault };
}
