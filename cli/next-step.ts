// What helps when the admin API or the ingress refuses: its help is for programs, this one is a command to type.

import { Refused } from './client.ts';
import { CliError } from './output.ts';

/** Verbs whose ids another verb lists. */
const LISTS: Readonly<Record<string, string>> = {
  agent: 'agent list',
  approvals: 'approvals list --all',
  audit: 'audit list',
  exception: 'exception list',
  facts: 'facts list',
  issuer: 'issuer list',
  kill: 'switches',
  mint: 'agent list',
  mode: 'mode list',
  operator: 'operator list',
  policy: 'policy list',
  release: 'switches',
  replay: 'audit list',
  revoke: 'revocations',
  tools: 'tools list',
  upstream: 'upstream list',
};

/** The same error with the command that helps, where one does. `words`: the verb, such as `policy put`. */
export function withNextStep(error: unknown, words: readonly string[]): unknown {
  if (!(error instanceof Refused)) return error;
  const help = commandFor(error.code, words);
  if (help === undefined) return error;
  return new CliError(error.message, { exitCode: error.exitCode, help, cause: error });
}

function commandFor(code: string, words: readonly string[]): string | undefined {
  const list = LISTS[words[0] ?? ''];
  const unknown = code.endsWith('.not_found') || code.endsWith('.unknown');
  if (unknown && list !== undefined && !code.startsWith('operator.'))
    return `./countersign ${list}   (what there is)`;
  if (code === 'request.schema') return ['./countersign', ...words, '--help'].join(' ');
  if (code.startsWith('identity.') && code !== 'identity.unavailable')
    return '--identity-file FILE with a valid token; the demo makes its own anew at each start';
  if (code.startsWith('operator.')) return 'act as somebody else: --as NAME, or --as TOKEN_FILE';
  if (code === 'mode.criteria')
    return 'wait until they are met (./countersign mode status CLASS), or --override, which is recorded';
  return undefined;
}
