// What a capability shall be limited to, as options of `mint` and `attenuate`.

import { type Command, InvalidArgumentError } from 'commander';

import { countGiven, repeated } from '#cli/given.ts';
import type { SenderKey } from '#contracts/capability/caveats.ts';
import type { Terms } from '#contracts/capability/terms.ts';

type Argument = NonNullable<Terms['arguments']>[number];
type Amount = NonNullable<Terms['amounts']>[number];

/** What `limitable` adds to a verb; commander gives it to its action. */
export interface Limits {
  readonly tool?: string[];
  readonly forbid?: string[];
  readonly upstream?: string[];
  readonly calls?: number;
  readonly notBefore?: number;
  readonly task?: string;
  readonly actor?: string;
  readonly audience?: string;
  readonly where?: Argument[];
  readonly amount?: Amount[];
  readonly total?: Amount[];
  readonly sender?: SenderKey;
}

/** Adds the options that limit a capability, all but its expiry. */
export function limitable(verb: Command): Command {
  return verb
    .option('--tool <name>', 'a tool or pattern that it covers; repeat for more', repeated)
    .option('--forbid <name>', 'a tool or pattern that it never covers; repeat', repeated)
    .option('--upstream <name>', 'only tools of this server; repeat for more', repeated)
    .option('--calls <number>', 'how many calls it is good for', countGiven)
    .option('--not-before <time>', 'from this time on: 2026-01-31T09:00:00Z', timeGiven)
    .option('--task <id>', 'only for this task')
    .option('--actor <agent>', 'only for calls by this agent: for handing it on')
    .option('--audience <name>', 'only at the gateway of this name')
    .option(
      '--where <condition>',
      "only where an argument meets it: '/currency=EUR', '/currency=[\"EUR\",\"CHF\"]', '/path^=/reports/', '/amount<=50', '/amount>=1'; repeat",
      each(conditionGiven),
    )
    .option('--amount <limit>', "an amount in each call: '/amount<=50'; repeat", each(amountGiven))
    .option(
      '--total <limit>',
      "an amount in all calls together: '/amount<=200'; repeat",
      each(totalGiven),
    )
    .option(
      '--sender <key>',
      'only from who proves to hold this key: jkt=THUMBPRINT or x5t#S256=THUMBPRINT',
      senderGiven,
    );
}

/** The limits in the words of the contract. */
export function termsOf(limits: Limits): Terms {
  const { tool, forbid, upstream, calls, notBefore, task, actor, audience, sender } = limits;
  const amounts = [...(limits.amount ?? []), ...(limits.total ?? [])];
  const terms = {
    not_before: notBefore,
    tools: tool,
    forbidden_tools: forbid,
    upstreams: upstream,
    task,
    actor,
    audience,
    sender,
    arguments: limits.where,
    amounts: amounts.length === 0 ? undefined : amounts,
    calls,
  };
  const given = Object.entries(terms).filter(([, term]) => term !== undefined);
  return Object.fromEntries(given) as Terms; // what was not given is not a term
}

const each =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly T[] = []): T[] => [...before, read(text)];

const CONDITION = /^(?<path>\/[^=<>^]*?)\s*(?<operator>\^=|<=|>=|=)\s*(?<value>.*)$/su;

/** One condition on an argument. What is no JSON is a text as it stands. */
function conditionGiven(text: string): Argument {
  const { path = '', operator = '', value: written = '' } = CONDITION.exec(text)?.groups ?? {};
  if (path === '') {
    throw new InvalidArgumentError("A condition is such as '/currency=EUR' or '/amount<=50'.");
  }
  if (operator === '^=') return { path, prefix: written };
  if (operator === '<=') return { path, max: numberIn(written) };
  if (operator === '>=') return { path, min: numberIn(written) };
  const value = jsonOr(written);
  // Whether a condition can have this value, the caveat says.
  if (Array.isArray(value)) return { path, one_of: value as NonNullable<Argument['one_of']> };
  return { path, equals: value as NonNullable<Argument['equals']> };
}

function numberIn(text: string): number {
  const value = jsonOr(text);
  if (typeof value === 'number') return value;
  throw new InvalidArgumentError(`'${text}' is not a number.`);
}

function amountGiven(text: string): { path: string; max: number } {
  const { path, max } = conditionGiven(text);
  if (max !== undefined) return { path, max };
  throw new InvalidArgumentError("A limit of an amount is such as '/amount<=50'.");
}

function totalGiven(text: string): Amount {
  const { path, max: total } = amountGiven(text);
  return { path, total };
}

function senderGiven(text: string): SenderKey {
  const { name, thumbprint = '' } =
    /^(?<name>jkt|x5t#S256)=(?<thumbprint>.+)$/.exec(text)?.groups ?? {};
  if (name === 'jkt') return { jkt: thumbprint };
  if (name === 'x5t#S256') return { 'x5t#S256': thumbprint };
  throw new InvalidArgumentError('A key is jkt=THUMBPRINT or x5t#S256=THUMBPRINT.');
}

function timeGiven(text: string): number {
  const milliseconds = /^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : NaN;
  if (!Number.isNaN(milliseconds)) return Math.floor(milliseconds / 1_000);
  throw new InvalidArgumentError('A time is such as 2026-01-31T09:00:00Z.');
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
