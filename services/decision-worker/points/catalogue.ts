/** The tool catalogue: which upstream a tool name means, and whether arguments fit its registered schema. */
import { CONTROL_KEYS, type Tool, type Upstream } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';
import { type ArgumentsCheck, compileToolSchema } from '#contracts/tool-schema.ts';
import type { ControlView } from '#host/control-view.ts';

import type { ToolFound } from '../decide.ts';

export interface Catalogue {
  readonly find: (tenant: TenantId, upstream: string, tool: string) => ToolFound;
  /** Registered tools of one upstream, or of all, ascending by upstream and name. */
  readonly tools: (tenant: TenantId, upstream?: string) => readonly Tool[];
}

/** Governed MCP methods that are no tools; every MCP upstream has them, and policy and capability decide. */
const MCP_ACTION = /^mcp:[a-z]+\/[a-zA-Z/]+$/;

/** The catalogue as the control view has it. */
export function catalogueOf(view: ControlView): Catalogue {
  const known = new Map<string, { readonly tool: Tool; readonly found: ToolFound }>();
  /** Upstreams by tenant and tool name. */
  const upstreams = new Map<string, Map<string, Set<string>>>();
  view.onChange((key, entry) => {
    if (!key.startsWith('catalog.')) return;
    const tenant = key.split('.')[1] ?? '';
    const before = known.get(key);
    if (before !== undefined) unlist(upstreams, tenant, before.tool);
    known.delete(key);
    if (entry.value === null) return;
    const tool = entry.value as Tool;
    known.set(key, { tool, found: foundOf(tool) });
    list(upstreams, tenant, tool);
  });

  const only = (tenant: TenantId, tool: string): string | undefined => {
    const places = upstreams.get(tenant)?.get(tool);
    return places?.size === 1 ? [...places][0] : undefined;
  };
  return {
    find: (tenant, upstream, tool) => {
      const places = upstreams.get(tenant)?.get(tool)?.size ?? 0;
      if (upstream === '' && places > 1) return missing('tool.ambiguous', '');
      const where = upstream === '' ? (only(tenant, tool) ?? '') : upstream;
      const registered = known.get(CONTROL_KEYS.tool(tenant, where, tool));
      if (registered !== undefined) return registered.found;
      const server = view.get<Upstream>(CONTROL_KEYS.upstream(tenant, where))?.value;
      const action = MCP_ACTION.test(tool) && server !== undefined && server !== null;
      return action ? { ...missing('', where) } : missing('tool.unknown', where);
    },
    tools: (tenant, upstream) => {
      const prefix =
        upstream === undefined ? `catalog.${tenant}.` : CONTROL_KEYS.tool(tenant, upstream, '');
      const tools: Tool[] = [];
      for (const [key, { tool }] of known) if (key.startsWith(prefix)) tools.push(tool);
      const place = ({ upstream: server = '', name }: Tool) => `${server}\n${name}`;
      return tools.sort((a, b) => (place(a) < place(b) ? -1 : 1));
    },
  };
}

const missing = (fault: ToolFound['fault'], upstream: string): ToolFound => ({
  fault,
  upstream,
  definitionHash: '',
  argumentsFault: undefined,
});

function foundOf(tool: Tool): ToolFound {
  return {
    fault: '',
    upstream: tool.upstream ?? '',
    definitionHash: tool.definition_hash ?? '',
    argumentsFault: tool.input_schema === undefined ? undefined : argumentsCheck(tool.input_schema),
  };
}

/** Compiled at first use: a tenant with thousands of tools pays for those that are called. */
function argumentsCheck(schema: Record<string, unknown>): (value: JsonObject) => string {
  let check: ArgumentsCheck | undefined;
  return (value) => {
    try {
      // It was read as JSON when it was put.
      check ??= compileToolSchema(schema as JsonObject);
    } catch {
      return 'the registered schema cannot be used'; // fail closed
    }
    return check(value);
  };
}

type Places = Map<string, Map<string, Set<string>>>;

function list(places: Places, tenant: string, { name, upstream = '' }: Tool): void {
  const tools = places.get(tenant) ?? new Map<string, Set<string>>();
  places.set(tenant, tools);
  const where = tools.get(name) ?? new Set<string>();
  tools.set(name, where.add(upstream));
}

function unlist(places: Places, tenant: string, { name, upstream = '' }: Tool): void {
  const tools = places.get(tenant);
  const where = tools?.get(name);
  where?.delete(upstream);
  if (where?.size === 0) tools?.delete(name);
}
