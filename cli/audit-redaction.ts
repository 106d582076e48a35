// `audit redaction`: what of payloads is shown and exported; and how plain values are asked for.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type Reach } from '#cli/client.ts';
import { jsonGiven } from '#cli/given.ts';
import { CliError, EXIT, print, printJson, printTable } from '#cli/output.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { Redaction, RedactionRule } from '#contracts/redaction.ts';

export interface PlainOptions {
  readonly plain?: true | undefined;
  readonly reason?: string | undefined;
}

/** @throws CliError misuse where plain values are asked for without a reason */
export function mustSayWhy({ plain, reason = '' }: PlainOptions): void {
  if (plain !== true || reason.trim() !== '') return;
  throw new CliError('Why are the values read?', {
    exitCode: EXIT.misuse,
    help: 'add --reason "..."; it is recorded with who read what',
  });
}

/** The query that asks for it. @throws CliError as mustSayWhy */
export function plainQuery(options: PlainOptions): string {
  mustSayWhy(options);
  const { plain, reason } = options;
  return new URLSearchParams({
    ...(plain === true ? { plain: 'true' } : {}),
    ...(reason === undefined ? {} : { why: reason }),
  }).toString();
}

export function registerRedaction(audit: Command): void {
  const redaction = addGroup(audit, 'redaction', {
    summary: 'What of payloads is shown and exported. Without rules every value is masked.',
    examples: [['./countersign audit redaction show', 'the rules, the first that fits decides']],
  });
  reachable(
    addVerb(redaction, 'show', {
      summary: 'Show the rules of the tenant.',
      examples: [['./countersign audit redaction show --json', 'as `set` takes them']],
    }),
  ).action(showRules);
  reachable(
    addVerb(redaction, 'set <json>', {
      summary:
        'Set all rules, from JSON or @file: do = show, mask, hash or last (n), and path, key, tool. ' +
        'Secrets are masked whatever a rule says.',
      examples: [
        [
          `./countersign audit redaction set '{"rules":[{"do":"show","path":"input.call.arguments.order_id"}]}'`,
          'order numbers are shown',
        ],
        [
          `./countersign audit redaction set '{"rules":[{"do":"last","n":4,"key":"iban"},{"do":"hash","key":"*email*"}]}'`,
          'the last four characters; a hash that is equal for equal values',
        ],
      ],
    }),
  ).action(async (json: string, options: Reach) => {
    const answer = await adminClient(options).tenantCall('PUT', 'redaction', jsonGiven(json));
    tellChange(options, answer, 'rules set');
  });
  reachable(
    addVerb(redaction, 'preview <decision-id>', {
      summary:
        'Show a recorded decision as rules would, those of now or others, before they are set.',
      examples: [
        ['./countersign audit redaction preview 019a1b2c-…', 'by the rules of now'],
        ['./countersign audit redaction preview 019a1b2c-… --rules @rules.json', 'by others'],
      ],
    }),
  )
    .option('--rules <json>', 'JSON or @file, as `set` takes them')
    .action(preview);
}

async function rulesNow(options: Reach): Promise<Redaction> {
  const { value } = (await adminClient(options).tenantCall('GET', 'redaction')) as {
    readonly value: Redaction;
  };
  return value;
}

async function showRules(options: Reach): Promise<void> {
  const value = await rulesNow(options);
  if (options.json === true) printJson(value);
  else if (value.rules.length === 0) print('no rules: every value is masked');
  else printTable(value.rules.map(cellsOf), ['', 'do', 'path', 'key', 'tool']);
}

const cellsOf = ({ do: act, n = 4, path, key, tool }: RedactionRule, index: number): string[] => [
  String(index + 1),
  act === 'last' ? `last ${n}` : act,
  path ?? '',
  key ?? '',
  tool ?? '',
];

async function preview(id: string, options: Reach & { readonly rules?: string }): Promise<void> {
  const rules =
    options.rules === undefined ? await rulesNow(options) : (jsonGiven(options.rules) as Redaction);
  const body = { ...rules, decision_id: id };
  const answer = await adminClient(options).tenantCall('POST', 'redaction/preview', body);
  const { sections } = answer as { readonly sections: unknown };
  printJson(options.json === true ? answer : sections);
}
