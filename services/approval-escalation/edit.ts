/**
 * A person changes the arguments of a held call instead of approving it. What they write is a call of its own: its agent
 * sends it, every check judges it anew, and another person approves it, for the one who changed it asked for it too.
 */
import type { EditOf } from '#contracts/approval.ts';
import { CONTROL_KEYS, type Tool } from '#contracts/control.ts';
import { canonical, type JsonObject, MalformedJson, parseStrict } from '#contracts/json.ts';
import { compileToolSchema } from '#contracts/tool-schema.ts';
import type { ControlView } from '#host/control-view.ts';

import { argumentsOf } from './grant.ts';
import { nameWith } from './hold.ts';
import type { Requester } from './may-decide.ts';
import { editsInto } from './store-edits.ts';
import type { Queryable, Row } from './store.ts';

/** For so long whoever changed a call into another one cannot approve that one. */
const EDITOR_MS = 30 * 24 * 3_600_000;

/** Changed arguments as they will be sent, and the name of the call that they make; or why they cannot be. */
export function readEdit(
  row: Row,
  text: string,
  { view, key }: { readonly view: Pick<ControlView, 'get'>; readonly key: Uint8Array },
): { readonly arguments: string; readonly call: string } | { readonly fault: string } {
  const args = parseObject(text);
  if (args === undefined) return { fault: 'the arguments are not a JSON object' };
  const before = argumentsOf(row);
  const call = nameWith(row.lines, args, key);
  if (before === undefined || call === undefined) return { fault: 'the held call cannot be read' };
  const changed = canonical(args);
  if (changed === canonical(before)) return { fault: 'nothing is changed: approve it as it is' };
  const { upstream, tool } = row.progress.summary;
  const place = view.get<Tool>(CONTROL_KEYS.tool(row.tenant, upstream, tool));
  const schema = place?.value?.input_schema as JsonObject | undefined; // read as JSON
  const unfit = schema === undefined ? '' : compileToolSchema(schema)(args);
  return unfit === '' ? { arguments: changed, call } : { fault: unfit };
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value = parseStrict(Buffer.from(text));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch (error) {
    if (error instanceof MalformedJson) return undefined;
    throw error;
  }
}

/** Which held calls were changed into this one. */
export async function editsOf(
  db: Queryable,
  {
    tenant,
    facts,
    progress,
  }: Pick<Row, 'tenant' | 'facts'> & { readonly progress: Pick<Row['progress'], 'summary'> },
): Promise<readonly EditOf[]> {
  if (facts.call === undefined) return []; // held before calls had names
  const since = progress.summary.held_at - EDITOR_MS;
  return editsInto(db, { tenant, call: facts.call, since });
}

/** Whose call it is: of the agent, of the person behind it, and of whoever changed another call into it. */
export const requesterOf = (
  { facts }: Pick<Row, 'facts'>,
  edits: readonly EditOf[],
): Requester => ({ ...facts.requester, editors: edits.map(({ by }) => by) });
