// Which port each part of a system has: the usual one or that of the last time, another where it is taken.

import { readFileSync } from 'node:fs';

import { CliError } from '#cli/output.ts';

import { anyFreePort, freePortFrom, isFree } from './ports.ts';
import { writePrivate } from './private-file.ts';

export interface PortWishes {
  /** Names with their usual ports. */
  readonly usual: ReadonlyMap<string, number>;
  /** `any`: from the whole range, so that several systems can run beside each other. */
  readonly from: 'usual' | 'any';
  /** Demanded by the operator: taken means an error that names it. */
  readonly demanded: Readonly<Record<string, number>>;
}

/** Gives each name a free port and remembers the choice in `file`. Throws CliError for a demanded one. */
export async function planPorts(file: string, wishes: PortWishes): Promise<Map<string, number>> {
  const before = readPlan(file);
  const plan = new Map<string, number>();
  const taken = new Set<number>(Object.values(wishes.demanded));
  for (const [name, usual] of wishes.usual) {
    const demanded = wishes.demanded[name];
    if (demanded !== undefined && !(await isFree(demanded))) {
      throw new CliError(`Port ${demanded} for ${name} is in use by another program.`, {
        help: `choose another port, or leave the choice to us; who has it: ss -ltnp 'sport = :${demanded}'`,
      });
    }
    const preferred = before[name] ?? (wishes.from === 'usual' ? usual : undefined);
    const port = demanded ?? (await chooseFree(preferred, taken));
    taken.add(port);
    plan.set(name, port);
  }
  writePrivate(file, `${JSON.stringify(Object.fromEntries(plan), null, 2)}\n`);
  return plan;
}

async function chooseFree(
  preferred: number | undefined,
  taken: ReadonlySet<number>,
): Promise<number> {
  return preferred === undefined ? anyFreePort(taken) : freePortFrom(preferred, taken);
}

/** The ports of the last time, by name; empty before the first. */
export function readPlan(file: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
  } catch {
    return {};
  }
}
