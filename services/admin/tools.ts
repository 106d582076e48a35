/** The tool catalogue: what agents may be allowed to call at all. */
import type { ToolPlace } from '#contracts/change.ts';
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';
import { compileToolSchema, UnusableSchema } from '#contracts/tool-schema.ts';
import type { ControlView } from '#host/control-view.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { exists, things } from './things.ts';

export function toolHandlers({
  view,
  record,
}: Deps): Pick<AdminHandlers, 'listTools' | 'putTools'> {
  const change = changeBy(record);
  return {
    listTools: async ({ tenant, query: { upstream } }) => {
      const all = things<Tool>(view, `catalog.${tenant}.`, (rest) => rest);
      // The id of a tool is its name: unique within its upstream, which the value names.
      const items = all.items
        .map((item) => ({ ...item, id: item.value.name }))
        .filter(({ value }) => upstream === undefined || (value.upstream ?? '') === upstream);
      return { ...all, items };
    },
    putTools: async (asked) => {
      const { tools, removed = [] } = asked.body;
      checkTools(view, asked.tenant, tools);
      const gone = removed.map(({ name, upstream = '' }) => ({ name, upstream }));
      checkOnce([...tools.map(placeOf), ...gone]);
      return change(asked, {
        kind: 'tools',
        action: 'put',
        target: targetOf([...tools.map(placeOf), ...gone]),
        value: { removed: gone, tools },
      });
    },
  };
}

const placeOf = ({ name, upstream = '' }: Tool): ToolPlace => ({ name, upstream });

/** For the record's readers: the one tool, or how many there are. */
const targetOf = (places: readonly ToolPlace[]): string => {
  const [first] = places;
  if (places.length !== 1 || first === undefined) return `${places.length} tools`;
  return first.upstream === '' ? first.name : `${first.upstream}/${first.name}`;
};

/** @throws AdminError tool.schema, tool.upstream */
function checkTools(view: ControlView, tenant: TenantId, tools: readonly Tool[]): void {
  for (const [at, { upstream, input_schema: schema }] of tools.entries()) {
    if (upstream !== undefined && !exists(view, CONTROL_KEYS.upstream(tenant, upstream))) {
      throw new AdminError('tool.upstream', '', { path: `/tools/${at}/upstream` });
    }
    if (schema === undefined) continue;
    try {
      // The body was read as JSON.
      compileToolSchema(schema as JsonObject);
    } catch (error) {
      if (!(error instanceof UnusableSchema)) throw error;
      throw new AdminError('tool.schema', `This schema cannot be used: ${error.message}.`, {
        path: `/tools/${at}/input_schema${error.path}`,
      });
    }
  }
}

/** @throws AdminError tool.repeated: which of two definitions holds must not depend on their order */
function checkOnce(places: readonly ToolPlace[]): void {
  const seen = new Set<string>();
  for (const { name, upstream } of places) {
    const place = `${upstream} ${name}`;
    if (seen.has(place)) throw new AdminError('tool.repeated', `The batch has "${name}" twice.`);
    seen.add(place);
  }
}
