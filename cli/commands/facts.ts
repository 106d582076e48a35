// `facts`: what policies know beside the call.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { jsonGiven, repeated } from '#cli/given.ts';
import { CliError, EXIT, print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { FactSourceShown } from '#contracts/admin-bodies.ts';
import { factKey, factName } from '#contracts/fact-name.ts';

interface Item {
  readonly id: string;
  readonly changed_at: string;
  readonly value: unknown;
}

export function register(program: Command): void {
  const facts = addGroup(program, 'facts', {
    short: 'Set, merge, read and delete what policies decide by.',
    summary: 'Facts that policies decide by: put, patch, get, list, delete.',
    examples: [
      [`./countersign facts put orders/17 '{"total": 90}'`, 'a fact with a revision'],
      ['./countersign facts list orders/', 'what is known'],
    ],
  });
  addSources(facts);
  const key = 'The key is a path; "/" within a segment is written %2F.';
  reachable(
    addVerb(facts, 'put <key> <json>', {
      summary: `Set a fact to a JSON value or @file. ${key}`,
      examples: [
        [`./countersign facts put orders/17 '{"total": 90}'`, 'from the command line'],
        ['./countersign facts put people/ann@example.com @ann.json', 'from a file'],
      ],
    }),
  ).action(async (name: string, json: string, options: Reach) => {
    const answer = await adminClient(options).tenantCall('PUT', pathOf(name), jsonGiven(json));
    tellChange(options, answer, `put ${name}`);
  });
  reachable(
    addVerb(facts, 'patch <key> <json>', {
      summary: 'Merge a JSON value into a fact (RFC 7396): null removes a member.',
      examples: [[`./countersign facts patch orders/17 '{"state": "paid"}'`, 'the rest stays']],
    }),
  ).action(async (name: string, json: string, options: Reach) => {
    const answer = await adminClient(options).tenantCall('PATCH', pathOf(name), jsonGiven(json));
    tellChange(options, answer, `patched ${name}`);
  });
  reachable(
    addVerb(facts, 'delete <key>', {
      summary: 'Remove a fact. A policy that requires it refuses from then on.',
      examples: [['./countersign facts delete orders/17', 'it is unknown again']],
    }),
  ).action(async (name: string, options: Reach) => {
    const answer = await adminClient(options).tenantCall('DELETE', pathOf(name));
    tellChange(options, answer, `deleted ${name}`);
  });
  reachable(
    addVerb(facts, 'get <key>', {
      summary: 'Show one fact. Exit code 1 when it is not known.',
      examples: [['./countersign facts get orders/17', 'its value as JSON']],
    }),
  ).action(async (name: string, options: Reach) => {
    const fact = (await adminClient(options).tenantCall('GET', pathOf(name))) as Item;
    printJson(options.json === true ? fact : fact.value);
  });
  reachable(
    addVerb(facts, 'list [prefix]', {
      summary: 'List facts whose key begins with a prefix.',
      examples: [['./countersign facts list orders/', 'keys, times and values']],
    }),
  ).action(list);
}

interface SourceOptions extends Reach {
  readonly key?: string[];
  readonly maxAge: string;
}

/** `facts source`: systems that facts come from. */
function addSources(facts: Command): void {
  const group = addGroup(facts, 'source', {
    summary: 'Systems that facts come from: put, list, delete.',
    examples: [['./countersign facts source list', 'and how recent the word of each is']],
  });
  reachable(
    addVerb(group, 'put <id>', {
      summary: 'Name a system and how old its word may be; what it feeds is stale until it speaks.',
      examples: [
        ['./countersign facts source put hr --key people --max-age 60', 'people/... from hr'],
      ],
    }),
  )
    .requiredOption(
      '--key <key>',
      'what it feeds, with everything below; repeat for more',
      repeated,
    )
    .requiredOption('--max-age <seconds>', 'silence after which its facts refuse calls')
    .action(async (id: string, { key = [], maxAge, ...reach }: SourceOptions) => {
      const body = { keys: key, max_age_s: Number(maxAge) };
      const path = `fact-sources/${encodeURIComponent(id)}`;
      const answer = await adminClient(reach).tenantCall('PUT', path, body);
      tellChange(reach, answer, `registered source ${id}`);
    });
  reachable(
    addVerb(group, 'delete <id>', {
      summary: 'Unregister a system; its facts stay and do not get stale any more.',
      examples: [['./countersign facts source delete hr', 'nobody feeds people/... now']],
    }),
  ).action(async (id: string, options: Reach) => {
    const path = `fact-sources/${encodeURIComponent(id)}`;
    const answer = await adminClient(options).tenantCall('DELETE', path);
    tellChange(options, answer, `unregistered source ${id}`);
  });
  reachable(
    addVerb(group, 'list', {
      summary: 'List the systems that facts come from.',
      examples: [['./countersign facts source list', 'keys, bound and last word']],
    }),
  ).action(async (options: Reach) => {
    const { items } = (await adminClient(options).tenantCall('GET', 'fact-sources')) as {
      items: { id: string; value: FactSourceShown }[];
    };
    if (options.json === true) printJson({ items });
    else if (items.length === 0) print('there are none');
    else {
      printTable(
        items.map(({ id, value }) => [
          id,
          value.keys.join(', '),
          `${value.max_age_s} s`,
          value.as_of ?? 'never',
        ]),
        ['source', 'keys', 'may be old', 'last word'],
      );
    }
  });
}

async function list(prefix: string | undefined, options: Reach): Promise<void> {
  const admin = adminClient(options);
  const items: Item[] = [];
  for (let more = true, after = ''; more; after = items.at(-1)?.id ?? '') {
    const query = new URLSearchParams({ prefix: prefix ?? '', after, limit: '1000' });
    const page = (await admin.tenantCall('GET', `facts?${query.toString()}`)) as {
      items: Item[];
      more: boolean;
    };
    items.push(...page.items);
    more = page.more;
  }
  if (options.json === true) {
    printJson({ items });
    return;
  }
  if (items.length === 0) print('there are none');
  else {
    printTable(
      items.map(({ id, changed_at: at, value }) => [id, at, JSON.stringify(value).slice(0, 100)]),
      ['key', 'changed', 'value'],
    );
  }
}

/** The path of a fact's key; what a shell gives needs no escapes but those that the key itself has. */
function pathOf(name: string): string {
  const key = factKey(name);
  if (key !== undefined) {
    const segments = factName(key).split('/');
    return `facts/${segments.map((segment) => encodeURIComponent(decodeURIComponent(segment))).join('/')}`;
  }
  throw new CliError(`"${name}" is not the key of a fact.`, {
    exitCode: EXIT.misuse,
    help: 'write segments with "/" between them, such as orders/17; "/" in a segment is %2F',
  });
}
