/** What a caller is told about itself (GET /v1/me): neither judged nor recorded, and never an answer to a call. */
import { Type, type Static } from 'typebox';

import { BudgetShare } from './budget.ts';

const instant = Type.String({ description: 'RFC 3339' });

export const OwnIdentity = Type.Object({
  tenant: Type.String(),
  agent: Type.String(),
  agent_class: Type.String(),
  on_behalf_of: Type.String({ description: 'The person, empty without one.' }),
  actors: Type.Array(Type.String(), { description: 'Who acts, outermost first.' }),
  workflow: Type.String(),
  session: Type.String(),
  task: Type.String(),
  expires_at: instant,
});

export const OwnCapability = Type.Object({
  kind: Type.Unsafe<'token' | 'compat' | 'standing' | 'none'>({
    type: 'string',
    enum: ['token', 'compat', 'standing', 'none'],
    description:
      'What the request sent (compat: of an imported key), what is registered for the agent, or neither that holds.',
  }),
  id: Type.String({ description: 'Of a token: names it in records.' }),
  caveats: Type.Array(Type.Record(Type.String(), Type.Unknown()), {
    description: 'As docs/capability.md describes them.',
  }),
});

/** What a worker says of a caller. Reasons are codes of reasons.ts; empty = none. */
export const Standing = Type.Object({
  identity: OwnIdentity,
  capability: Type.Object({ ...OwnCapability.properties, fault: Type.String() }),
  tools: Type.Array(
    Type.Object({ upstream: Type.String(), name: Type.String(), reason: Type.String() }),
  ),
  /** What is used of each ceiling that applies to the caller. */
  budgets: Type.Array(BudgetShare),
});
export type Standing = Static<typeof Standing>;
