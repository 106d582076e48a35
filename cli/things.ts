// Listing and deleting what is registered: the same for issuers, agents and tool servers.

import type { Command } from 'commander';

import { tellChange } from './changes.ts';
import { adminClient, reachable, type Reach } from './client.ts';
import { print, printJson, printTable } from './output.ts';
import { addVerb } from './verb.ts';

export interface Registered<T> {
  readonly id: string;
  readonly revision: string;
  readonly changed_at: string;
  readonly value: T;
}

/** How one kind of thing is listed. */
export interface Listing<T> {
  /** Word of the group, and of the path in plural: `agent`. */
  readonly word: string;
  /** What a person calls many of it. */
  readonly many: string;
  readonly heading: readonly string[];
  /** Cells behind the id. */
  readonly row: (value: T) => readonly string[];
}

/** Everything of a kind. */
export async function listed<T>(reach: Reach, word: string): Promise<readonly Registered<T>[]> {
  // Lists have this shape (contracts/admin-bodies.ts).
  const { items } = (await adminClient(reach).tenantCall('GET', `${word}s`)) as {
    items: readonly Registered<T>[];
  };
  return items;
}

/** Adds `list` and `delete` to a group. */
export function addListing<T>(group: Command, { word, many, heading, row }: Listing<T>): void {
  reachable(
    addVerb(group, 'list', {
      summary: `List ${many}.`,
      examples: [[`./countersign ${word} list`, 'as a table']],
    }),
  ).action(async (options: Reach) => {
    const items = await listed<T>(options, word);
    if (options.json === true) printJson({ items });
    else if (items.length === 0) print('there are none');
    else
      printTable(
        items.map(({ id, value }) => [id, ...row(value)]),
        [word, ...heading],
      );
  });
  reachable(
    addVerb(group, 'delete <id>', {
      summary: `Unregister one of the ${many}.`,
      examples: [[`./countersign ${word} delete old`, 'it counts from the next call on']],
    }),
  ).action(async (id: string, options: Reach) => {
    const path = `${word}s/${encodeURIComponent(id)}`;
    tellChange(options, await adminClient(options).tenantCall('DELETE', path), `deleted ${id}`);
  });
}
