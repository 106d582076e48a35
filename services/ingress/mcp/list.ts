/** tools/list: what this caller may call, as the upstream defines it. Neither judged nor recorded. */
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import type { Json, JsonObject } from '#contracts/json.ts';
import { definitionHash } from '#contracts/tool-definition.ts';

import { type Exchange, proveCaller } from './exchange.ts';
import { isObject } from './message.ts';
import { pass, passedOn } from './pass.ts';
import { changedResult } from './relay.ts';

/** How long a client may go on believing a list: rights change. */
const TTL_MS_MAX = 30_000;

/** @throws Fault */
export async function listTools(exchange: Exchange): Promise<void> {
  const { tools } = await proveCaller(exchange);
  const visible = new Set(tools.flatMap((tool) => (tool.visible ? [tool.name] : [])));
  await pass(exchange, passedOn(exchange), {
    answered: async (answer) =>
      changedResult(answer, (result) => filtered(exchange, result, visible)),
  });
}

function filtered(
  exchange: Exchange,
  result: JsonObject,
  visible: ReadonlySet<string>,
): JsonObject {
  const given = Array.isArray(result['tools']) ? result['tools'].filter(isDefinition) : [];
  const tools = given
    .filter((tool) => visible.has(tool.name) && isAsRegistered(exchange, tool))
    .sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  if (exchange.era === '2025-11-25') return { ...result, tools };
  const ttl = result['ttlMs'];
  const ttlMs = Math.min(typeof ttl === 'number' ? ttl : TTL_MS_MAX, TTL_MS_MAX);
  return { ...result, tools, ttlMs, cacheScope: 'private' };
}

type Definition = JsonObject & { readonly name: string };

const isDefinition = (value: Json): value is Definition =>
  isObject(value) && typeof value['name'] === 'string';

/** A definition that changed since it was registered is another tool, and nobody has looked at that one. */
function isAsRegistered({ parts, caller, target }: Exchange, definition: Definition): boolean {
  const key = CONTROL_KEYS.tool(caller.tenant, target.name, definition.name);
  const registered = parts.view.get<Tool>(key)?.value?.definition_hash;
  return registered === undefined || registered === definitionHash(definition);
}
