/**
 * What a control event says: for each kind and action the shape of section `value` of its payload. Admin writes
 * them, the projector derives bucket `control` from them, and the chain keeps them.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

import { ApprovalRoutes } from './approval-route.ts';
import { ToolName, UpstreamName } from './call.ts';
import { Budgets } from './ceilings.ts';
import { Compat } from './compat.ts';
import {
  ActivePolicy,
  Agent,
  ControlLeaf,
  FactChange,
  Issuer,
  MintedRoot,
  Operator,
  StoredPolicy,
  TenantSettings,
  ThingId,
  Tool,
  Upstream,
} from './control.ts';
import { DrillOrder } from './drill.ts';
import { ExceptionOrder, ExceptionStep } from './exception.ts';
import { FactSource } from './fact-source.ts';
import { parseTenantId, PLATFORM, type TenantId } from './ids.ts';
import { ModeOrder } from './mode.ts';
import type { RecordLines } from './record.ts';
import { Redaction } from './redaction.ts';
import { RevocationOrder, SwitchOrder } from './stop.ts';
import type { ControlKind } from './subjects.ts';

/** A deletion says nothing beside its target. */
const Nothing = Type.Null();

/** One tool's place in the catalogue; upstream '' = a tool without one. */
export const ToolPlace = Type.Object(
  { name: ToolName, upstream: Type.Union([UpstreamName, Type.Literal('')]) },
  { additionalProperties: false },
);
export type ToolPlace = Static<typeof ToolPlace>;

const closed = { additionalProperties: false } as const;

/** Value schemas by kind and action. `target` of the leaf is the id of the thing, '' where a tenant has only one. */
export const CHANGES = {
  tenant: { put: TenantSettings },
  issuer: { put: Issuer, delete: Nothing },
  agent: { put: Agent, delete: Nothing },
  upstream: { put: Upstream, delete: Nothing },
  tools: {
    put: Type.Object({ removed: Type.Array(ToolPlace), tools: Type.Array(Tool) }, closed),
  },
  /** The token itself is in no record; `terms` is what was asked for. */
  capability: {
    mint: Type.Object({ minted: MintedRoot, terms: Type.Unknown() }, closed),
  },
  /** put: a bundle was stored under the digest `target`. activate: it is what the tenant runs from now on. */
  policy: { put: StoredPolicy, activate: ActivePolicy },
  /** Of a source: no changes = it says that nothing changed. `as_of`: milliseconds UTC up to which it has told everything. */
  facts: {
    change: Type.Object(
      {
        changes: Type.Array(FactChange),
        source: Type.Optional(ThingId),
        as_of: Type.Optional(Type.Integer()),
      },
      closed,
    ),
  },
  source: { put: FactSource, delete: Nothing },
  budgets: { put: Budgets },
  routes: { put: ApprovalRoutes },
  operator: { put: Operator, delete: Nothing },
  /** There is no way back: what was revoked is granted anew under another id. */
  revocation: { revoke: RevocationOrder },
  /** release: one of the two that it takes. drill: stops nothing. */
  switch: { engage: SwitchOrder, release: SwitchOrder, drill: DrillOrder },
  mode: { set: ModeOrder },
  exception: { put: ExceptionOrder, review: ExceptionStep, end: ExceptionStep },
  /** A key in it is sealed. */
  compat: { put: Compat, delete: Nothing },
  redaction: { put: Redaction },
} as const satisfies Partial<Record<ControlKind, Readonly<Record<string, TSchema>>>>;

type Changes = typeof CHANGES;

/** A kind with an action and the value that belongs to them. */
export type Change = {
  [Kind in keyof Changes]: {
    [Action in keyof Changes[Kind]]: {
      readonly kind: Kind;
      readonly action: Action;
      readonly target: string;
      readonly value: Changes[Kind][Action] extends TSchema ? Static<Changes[Kind][Action]> : never;
    };
  }[keyof Changes[Kind]];
}[keyof Changes];

/** A change with whose it is and when. */
export interface ChangeEvent {
  readonly tenant: TenantId;
  /** Milliseconds UTC. */
  readonly at: number;
  readonly change: Change;
}

/** Kinds that change no state of the bucket: they stand in the chain only. */
const STATELESS: ReadonlySet<string> = new Set(['payloads', 'read', 'session', 'notices', 'alert']);

/**
 * unreadable: not a control record, or a value of another shape; nobody can apply it. unknown: of a kind or action that
 * this version does not know, so a newer one must apply it.
 */
export type ReadChange =
  | { readonly is: 'change'; readonly event: ChangeEvent }
  | { readonly is: 'stateless' }
  | { readonly is: 'unknown' | 'unreadable'; readonly detail: string };

const leafCheck = Compile(ControlLeaf);
const payloadCheck = Compile(
  Type.Object({ sections: Type.Object({ value: Type.Unknown() }), v: Type.Literal(1) }),
);
const valueChecks = new Map<string, Validator>();
for (const [kind, actions] of Object.entries(CHANGES)) {
  for (const [action, schema] of Object.entries<TSchema>(actions)) {
    valueChecks.set(`${kind}.${action}`, Compile(schema));
  }
}

/** The change in a record of CONTROL. The writer's MAC MUST have been checked before. */
export function readChange(record: RecordLines): ReadChange {
  const leaf = parse(record.leaf);
  const payload = parse(record.payload);
  if (!leafCheck.Check(leaf) || !payloadCheck.Check(payload)) {
    return { is: 'unreadable', detail: 'not a control record' };
  }
  const tenant = leaf.tenant === PLATFORM ? PLATFORM : parseTenantId(leaf.tenant);
  if (tenant === undefined) return { is: 'unreadable', detail: 'not a tenant' };
  const kind = leaf.kind.slice('control.'.length);
  if (STATELESS.has(kind)) return { is: 'stateless' };
  const check = valueChecks.get(`${kind}.${leaf.action}`);
  if (check === undefined) return { is: 'unknown', detail: `${kind}.${leaf.action}` };
  const { value } = payload.sections;
  if (!check.Check(value)) {
    return { is: 'unreadable', detail: `${kind}.${leaf.action}: the value has another shape` };
  }
  // Kind, action and value belong together: the check was looked up by the first two.
  const change = { kind, action: leaf.action, target: leaf.target, value } as Change;
  return { is: 'change', event: { tenant, at: leaf.at, change } };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
