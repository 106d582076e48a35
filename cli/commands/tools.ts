// `tools`: the catalogue of what agents may be allowed to call.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, readToken, type Reach } from '#cli/client.ts';
import { jsonGiven } from '#cli/given.ts';
import { listServerTools, type ToolDefinition } from '#cli/mcp-tools.ts';
import { print, printJson, printTable } from '#cli/output.ts';
import { listed, type Registered } from '#cli/things.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Tool, Upstream } from '#contracts/control.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { definitionHash } from '#contracts/tool-definition.ts';

interface ListOptions extends Reach {
  readonly upstream?: string;
}
interface SyncOptions extends Reach {
  readonly credentialFile?: string;
  readonly class?: string;
  readonly dryRun?: true;
}

export function register(program: Command): void {
  const group = addGroup(program, 'tools', {
    short: 'The tool catalogue: what is not in it cannot be called.',
    summary: 'The tool catalogue: sync, put, list. What is not in it cannot be called.',
    examples: [['./countersign tools sync shop', 'registers what the server lists']],
  });
  reachable(
    addVerb(group, 'sync <upstream>', {
      summary:
        'Register the tools that a tool server lists now, and take out those it lists no more.',
      examples: [
        ['./countersign tools sync shop', 'class and labels of known tools stay'],
        ['./countersign tools sync shop --dry-run', 'what would change'],
      ],
    }),
  )
    .option('--credential-file <file>', 'credential for the server, in a file of this machine')
    .option('--class <name>', 'class of tools that are new')
    .option('--dry-run', 'only show what would change')
    .action(sync);
  reachable(
    addVerb(group, 'put <json>', {
      summary: 'Register tools: a tool, a list of tools, or {tools, removed}; JSON or @file.',
      examples: [
        [`./countersign tools put '{"name": "think"}'`, 'a tool without a server'],
        ['./countersign tools put @tools.json', 'many at once'],
      ],
    }),
  ).action(async (json: string, options: Reach) => {
    const answer = await adminClient(options).tenantCall('PUT', 'tools', batchOf(jsonGiven(json)));
    tellChange(options, answer, 'catalogue changed');
  });
  reachable(
    addVerb(group, 'list', {
      summary: 'List the catalogue.',
      examples: [['./countersign tools list --upstream shop', 'of one server']],
    }),
  )
    .option('--upstream <name>', 'only tools of this server')
    .action(list);
}

function batchOf(given: unknown): unknown {
  if (Array.isArray(given)) return { tools: given };
  const batch = typeof given === 'object' && given !== null && 'tools' in given;
  return batch ? given : { tools: [given] };
}

async function list(options: ListOptions): Promise<void> {
  const all = await listed<Tool>(options, 'tool');
  const items = all.filter(
    ({ value }) => options.upstream === undefined || value.upstream === options.upstream,
  );
  if (options.json === true) printJson({ items });
  else if (items.length === 0) print('there are none');
  else {
    printTable(
      items.map(({ value }) => [
        value.name,
        value.upstream ?? '-',
        value.class ?? '-',
        value.input_schema === undefined ? 'any arguments' : 'schema',
      ]),
      ['tool', 'upstream', 'class', 'arguments'],
    );
  }
}

async function sync(name: string, options: SyncOptions): Promise<void> {
  const admin = adminClient(options);
  const path = `upstreams/${encodeURIComponent(name)}`;
  const { value: upstream } = (await admin.tenantCall('GET', path)) as Registered<Upstream>;
  const definitions = await listServerTools({
    url: upstream.url,
    headers: credentialOf(upstream, options.credentialFile),
  });
  const known = new Map(
    (await listed<Tool>(options, 'tool'))
      .filter(({ value }) => value.upstream === name)
      .map(({ value }) => [value.name, value]),
  );
  const tools = definitions.map((definition) =>
    toolOf(definition, { upstream: name, before: known.get(definition.name), options }),
  );
  const present = new Set(tools.map((tool) => tool.name));
  const removed = [...known.keys()]
    .filter((tool) => !present.has(tool))
    .map((tool) => ({ name: tool, upstream: name }));
  const changed = tools.filter((tool) => asText(tool) !== asText(known.get(tool.name)));
  const told = rowsOf({ changed, removed, known });
  if (options.dryRun === true || changed.length + removed.length === 0) {
    if (options.json === true) printJson({ changed, removed });
    else if (told.length === 0) print(`${name} is up to date: ${tools.length} tools`);
    else printTable(told);
    return;
  }
  const answer = await admin.tenantCall('PUT', 'tools', { tools: changed, removed });
  if (options.json !== true) printTable(told);
  tellChange(options, answer, `${name}: ${tools.length} tools`);
}

/** A tool whatever order its members stand in. It was read from JSON. */
const asText = (tool: Tool | undefined): string => canonical((tool ?? null) as Json);

/** What only the operator knows of a tool stays; everything else is what the server says now. */
function toolOf(
  definition: ToolDefinition,
  {
    upstream,
    before,
    options,
  }: {
    readonly upstream: string;
    readonly before: Tool | undefined;
    readonly options: SyncOptions;
  },
): Tool {
  const { name, description, inputSchema } = definition;
  const kind = before === undefined ? options.class : before.class;
  const schema =
    typeof inputSchema === 'object' && inputSchema !== null && !Array.isArray(inputSchema);
  return {
    name,
    upstream,
    ...(typeof description === 'string' ? { description: description.slice(0, 8_000) } : {}),
    ...(schema ? { input_schema: inputSchema } : {}),
    ...(kind === undefined ? {} : { class: kind }),
    ...(before?.labels === undefined ? {} : { labels: before.labels }),
    definition_hash: definitionHash(definition),
  };
}

function rowsOf({
  changed,
  removed,
  known,
}: {
  readonly changed: readonly Tool[];
  readonly removed: readonly { readonly name: string }[];
  readonly known: ReadonlyMap<string, Tool>;
}): string[][] {
  return [
    ...changed.map(({ name, description = '' }) => [
      known.has(name) ? 'changed' : 'new',
      name,
      description.split('\n')[0]?.slice(0, 80) ?? '',
    ]),
    ...removed.map(({ name }) => ['removed', name, '']),
  ];
}

/** The ingress's own reference is not ours to read: it may be another machine's. */
function credentialOf({ credential }: Upstream, file: string | undefined): Record<string, string> {
  if (file === undefined) return {};
  const { header = 'Authorization', scheme = 'Bearer' } = credential ?? {};
  const secret = readToken(file);
  return { [header]: scheme === '' ? secret : `${scheme} ${secret}` };
}
