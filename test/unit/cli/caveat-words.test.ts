// Each caveat in words: what `whoami` and `inspect` show instead of JSON.

import { expect, it } from 'vitest';

import { caveatText } from '#cli/caveat-words.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';

const cases: readonly (readonly [string, Caveat])[] = [
  ['issued to bot', { t: 'agent_lock', agent: 'bot' }],
  ['until 2027-01-15T08:00:00.000Z', { t: 'exp', exp: 1_800_000_000 }],
  ['until 9007199254740991 (unix seconds)', { t: 'exp', exp: Number.MAX_SAFE_INTEGER }],
  ['from 2027-01-15T08:00:00.000Z on', { t: 'nbf', nbf: 1_800_000_000 }],
  ['only tools a, b_*', { t: 'tool_allow', tools: ['a', 'b_*'] }],
  ['never tools c', { t: 'tool_deny', tools: ['c'] }],
  ['only tools named after crm', { t: 'mcp_allow', servers: ['crm'] }],
  ['only tools of server shop', { t: 'upstream', upstreams: ['shop'] }],
  ['only in tenant acme', { t: 'tenant', tenant: 'acme' }],
  ['only for task t1', { t: 'task', task: 't1' }],
  ['only calls by helper', { t: 'actor', agent: 'helper' }],
  ['only at gateway eu', { t: 'audience', audience: 'eu' }],
  ['only where /id is "7"', { t: 'args', path: '/id', equals: '7' }],
  ['only where /id is one of [1,2]', { t: 'args', path: '/id', one_of: [1, 2] }],
  ['only where /path begins with "/tmp/"', { t: 'args', path: '/path', prefix: '/tmp/' }],
  ['only where /n is at least 1 and is at most 5', { t: 'args', path: '/n', min: 1, max: 5 }],
  ['/n at most 5 in each call', { t: 'amount', path: '/n', max: 5 }],
  ['/n at most 9 in all calls together', { t: 'amount', path: '/n', total: 9 }],
  ['at most 1 call', { t: 'max_calls', max_calls: 1 }],
  ['only from the holder of key abc', { t: 'sender', jkt: 'abc' }],
  ['only from the holder of certificate abc', { t: 'sender', 'x5t#S256': 'abc' }],
  ['risk_max refuses every call: it is not enforced here', { t: 'risk_max', risk_max: 3 }],
];

it.each(cases)('%s', (expected, caveat) => {
  expect(caveatText(caveat)).toBe(expected);
});
