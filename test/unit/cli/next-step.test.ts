// What the command line says to do next when the admin API or the ingress refuses.

import { expect, it } from 'vitest';

import { Refused } from '#cli/client.ts';
import { withNextStep } from '#cli/next-step.ts';
import { CliError } from '#cli/output.ts';

const cases: readonly (readonly [code: string, verb: string, help: RegExp])[] = [
  ['thing.not_found', 'facts get', /^\.\/countersign facts list /],
  ['request.not_found', 'approvals show', /^\.\/countersign approvals list --all /],
  ['agent.unknown', 'mint', /^\.\/countersign agent list /],
  ['request.schema', 'kill', /^\.\/countersign kill --help$/],
  ['operator.role', 'policy put', /--as NAME/],
  ['operator.unknown', 'policy put', /--as NAME/],
  ['identity.expired', 'call', /^--identity-file FILE/],
  ['mode.criteria', 'mode set', /--override/],
  ['policy.not_accepted', 'policy put', /^as the API says$/],
];

it.each(cases)('%s of %s', (code, verb, help) => {
  const said = { code, message: 'No.', help: 'as the API says', path: '' };
  const refused = new Refused(404, said, {});
  const told = withNextStep(refused, verb.split(' ')) as CliError;
  expect([told.message, told.exitCode, told.help]).toEqual([
    refused.message,
    refused.exitCode,
    expect.stringMatching(help),
  ]);
});

it('leaves every other error as it is', () => {
  const error = new CliError('The system is not running.', { help: 'npm run up' });
  expect(withNextStep(error, ['facts', 'get'])).toBe(error);
});
