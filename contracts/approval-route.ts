/** Who may approve what, and whom to tell when: a tenant's routes, put by its admins. A policy names one, or one matches. */
import { Type, type Static } from 'typebox';

import { Plan, Risk, Stage, Tier } from './approval.ts';
import { ToolName } from './call.ts';
import type { JsonObject } from './json.ts';
import type { ApprovalRequest } from './policy.ts';

const closed = { additionalProperties: false } as const;

const RouteStage = Type.Object(
  {
    name: Type.Optional(Stage.properties.name),
    approvers: Type.Optional(Stage.properties.approvers),
    quorum: Type.Optional(Stage.properties.quorum),
  },
  closed,
);
const RouteTier = Type.Object(
  {
    name: Type.Optional(Tier.properties.name),
    after_s: Type.Optional(Tier.properties.after_s),
    channels: Type.Optional(Tier.properties.channels),
    remind_s: Type.Optional(Tier.properties.remind_s),
  },
  closed,
);

export const ApprovalRoute = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z][a-z0-9_-]{0,63}$' }),
    match: Type.Optional(
      Type.Object(
        {
          tools: Type.Optional(Type.Array(ToolName, { minItems: 1, maxItems: 256 })),
          risks: Type.Optional(Type.Array(Risk, { minItems: 1 })),
          amount: Type.Optional(
            Type.Object(
              {
                path: Type.String({
                  pattern: '^(/([^~/]|~[01])*)+$',
                  maxLength: 256,
                  description: 'JSON pointer into the arguments.',
                }),
                above: Type.Number(),
              },
              {
                ...closed,
                description: 'A number there that is larger, or anything that is no number.',
              },
            ),
          ),
        },
        {
          ...closed,
          description: 'All that is said must hold. Without it only a policy can choose the route.',
        },
      ),
    ),
    stages: Type.Optional(
      Type.Array(RouteStage, {
        minItems: 1,
        maxItems: 8,
        description: 'One after the other; every vote takes another person. Default: one approver.',
      }),
    ),
    tiers: Type.Optional(
      Type.Array(RouteTier, { minItems: 1, maxItems: 8, description: 'In ascending `after_s`.' }),
    ),
    step_up_s: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 86_400,
        description:
          "Longest age of the approver's second factor in seconds; 0 = none is asked for. Default: 300 for risk critical, else 0.",
      }),
    ),
  },
  closed,
);
export type ApprovalRoute = Static<typeof ApprovalRoute>;

export const ApprovalRoutes = Type.Object(
  {
    routes: Type.Array(ApprovalRoute, {
      maxItems: 64,
      description: 'Where the policy names none, the first that matches counts.',
    }),
  },
  closed,
);
export type ApprovalRoutes = Static<typeof ApprovalRoutes>;

/** What is known of a call when its route is chosen. */
export interface Routed {
  readonly tool: string;
  readonly arguments: JsonObject;
  readonly asked: ApprovalRequest;
}

/** How fresh a second factor has to be where a route does not say it. */
const STEP_UP_S: Readonly<Record<Risk, number>> = { low: 0, medium: 0, high: 0, critical: 300 };

export const riskOf = ({ risk }: ApprovalRequest): Risk => risk ?? 'medium';

/**
 * The plan for a call; undefined where a tenant has routes and none of them is meant: then nobody may approve it, for
 * a route that is missing must not become anybody's yes. The policy's quorum is a floor that no route lowers.
 */
export function planFor(routes: readonly ApprovalRoute[], call: Routed): Plan | undefined {
  const { route: named } = call.asked;
  const route =
    named === undefined
      ? routes.find((candidate) => matches(candidate, call))
      : routes.find(({ name }) => name === named);
  if (route === undefined && routes.length > 0) return undefined;
  return {
    route: route?.name ?? named ?? 'default',
    stages: stagesOf(route, call.asked.quorum ?? 1),
    tiers: tiersOf(route),
    step_up_s: route?.step_up_s ?? STEP_UP_S[riskOf(call.asked)],
  };
}

function stagesOf(route: ApprovalRoute | undefined, demanded: number): Plan['stages'] {
  const stages = (route?.stages ?? [{}]).map(({ name, approvers = [], quorum = 1 }, index) => ({
    name: name ?? `stage ${index + 1}`,
    approvers,
    quorum,
  }));
  const last = stages.at(-1);
  const planned = stages.reduce((sum, { quorum }) => sum + quorum, 0);
  if (last !== undefined && planned < demanded) last.quorum += demanded - planned;
  return stages;
}

function tiersOf(route: ApprovalRoute | undefined): Plan['tiers'] {
  const tiers = (route?.tiers ?? [{}]).map(
    ({ name, after_s: afterS = 0, channels = [], remind_s: remindS = 0 }, index) => ({
      name: name ?? `tier ${index + 1}`,
      after_s: afterS,
      channels,
      remind_s: remindS,
    }),
  );
  return tiers.sort((one, other) => one.after_s - other.after_s);
}

function matches({ match }: ApprovalRoute, { tool, arguments: args, asked }: Routed): boolean {
  if (match === undefined) return false;
  const { tools, risks, amount } = match;
  if (tools !== undefined && !tools.includes(tool)) return false;
  if (risks !== undefined && !risks.includes(riskOf(asked))) return false;
  if (amount === undefined) return true;
  const found = at(args, amount.path);
  return typeof found !== 'number' || found > amount.above;
}

/** The value at a JSON pointer (RFC 6901), undefined for none. */
function at(value: unknown, pointer: string): unknown {
  let found = value;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name))
      return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}
