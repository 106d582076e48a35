/** Who operates: the persons, and the first of them, whom a file names at start. */
import { readFile } from 'node:fs/promises';

import { Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { CONTROL_KEYS, decodeKey, Operator } from '#contracts/control.ts';
import { PLATFORM } from '#contracts/ids.ts';
import { ConfigError } from '#host/config.ts';

import { changeBy, type RecordChange } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { hasRole } from './operators.ts';
import { mustExist, things } from './things.ts';

type Persons = Pick<
  AdminHandlers,
  'getOperator' | 'listOperators' | 'putOperator' | 'disableOperator' | 'deleteOperator'
>;

export function personHandlers({ view, record, operators, desk }: Deps): Persons {
  const change = changeBy(record);
  /** What proved an earlier person of this id is worth nothing. Best effort: registering people needs no database. */
  const forget = async (id: string) => desk?.forget(id).catch(() => undefined);
  /** Somebody must be left who can make admins. */
  const keepAnAdmin = (without: string) => {
    const others = [...operators.values()].filter(({ id }) => id !== without);
    if (!others.some(isPlatformAdmin)) throw new AdminError('operator.last_admin');
  };
  return {
    getOperator: async ({ operator }) => ({
      id: operator.id,
      name: operator.name,
      roles: operator.roles,
      tenants: operator.tenants ?? [],
    }),
    listOperators: async () => {
      const listed = things<Operator>(view, CONTROL_KEYS.operator(''), decodeKey);
      const items = listed.items.map(({ value, ...item }) => {
        const { token_hash: _, ...shown } = value;
        return { ...item, value: shown };
      });
      return { ...listed, items };
    },
    putOperator: async (asked) => {
      const { id = '' } = asked.path;
      const before = operators.get(id);
      if (before === undefined) await forget(id);
      const { token_hash: kept } = before ?? {};
      const operator: Operator = {
        ...(kept === undefined ? {} : { token_hash: kept }),
        ...asked.body,
        id,
      };
      if (!isPlatformAdmin(operator)) keepAnAdmin(id);
      return change(asked, { kind: 'operator', action: 'put', target: id, value: operator });
    },
    disableOperator: async (asked) => {
      const { id = '' } = asked.path;
      const before = operators.get(id);
      if (before === undefined) throw new AdminError('thing.not_found');
      keepAnAdmin(id);
      const value: Operator = { ...before, disabled: true };
      const changed = await change(asked, { kind: 'operator', action: 'put', target: id, value });
      // Their sessions are worth nothing from now on, also where the database is away.
      await desk?.endSessions(id).catch(() => undefined);
      return changed;
    },
    deleteOperator: async (asked) => {
      const { id = '' } = asked.path;
      mustExist(view, CONTROL_KEYS.operator(id));
      keepAnAdmin(id);
      const changed = await change(asked, {
        kind: 'operator',
        action: 'delete',
        target: id,
        value: null,
      });
      await forget(id);
      return changed;
    },
  };
}

const isPlatformAdmin = (operator: Operator): boolean =>
  operator.disabled !== true && hasRole(operator, 'admin') && (operator.tenants ?? []).length === 0;

const fileCheck = Compile(Type.Array(Operator, { minItems: 1, maxItems: 64 }));

/**
 * The operators whom a bootstrap file names. @throws ConfigError; the file holds hashes, no tokens
 */
export async function readOperators(file: string): Promise<Operator[]> {
  let listed: unknown;
  try {
    listed = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    throw new ConfigError([`bootstrap operators: ${file} cannot be read as JSON`]);
  }
  if (fileCheck.Check(listed)) return listed;
  const [fault] = fileCheck.Errors(listed);
  throw new ConfigError([
    `bootstrap operators: ${file}: ${fault?.instancePath ?? ''} ${fault?.message ?? ''}`,
  ]);
}

/** Registers those of the file that do not exist yet. Whoever was changed or deleted since stays so. */
export async function bootstrapOperators(
  listed: readonly Operator[],
  { view, record, log }: { readonly record: RecordChange } & Pick<Deps, 'view' | 'log'>,
): Promise<void> {
  for (const operator of listed) {
    if (view.get(CONTROL_KEYS.operator(operator.id)) !== undefined) continue;
    await record({
      tenant: PLATFORM,
      by: 'system:admin',
      reason: 'named in the bootstrap file',
      change: { kind: 'operator', action: 'put', target: operator.id, value: operator },
    });
    log.info({ operator: operator.id }, 'operator registered from the bootstrap file');
  }
}
