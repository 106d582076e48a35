/** Random caveats and calls over few names, so that a random chain still allows a random call now and then. */
import fc from 'fast-check';

import type { Caveat } from '#contracts/capability/caveats.ts';
import type { CapabilityClaims } from '#contracts/capability/format.ts';
import type { CapabilityCall } from '#contracts/capability/judge.ts';
import { NO_KEYS } from '#contracts/sender.ts';

export const CLAIMS: Omit<CapabilityClaims, 'rootJti'> = {
  jti: 'ZVPxAAABAgMEBQYHCAkKCw',
  issuer: 'countersign',
  tenant: 'demo',
  zone: 'default',
  subject: 'agent-a',
  issuedAt: 1_700_000_000,
  notBefore: null,
};

const tool = fc.constantFrom('read_a', 'read_b', 'write_a', 'shop.read', 'shop/x');
const toolPattern = fc.oneof(
  tool,
  fc.constantFrom('*', 'read_*', '*_a', 'shop[./]*', 'write_?', 'é&<'),
);
const agent = fc.constantFrom('agent-a', 'agent-b');
const upstream = fc.constantFrom('shop', 'crm');
const seconds = fc.integer({ min: 1_700_000_000, max: 1_700_000_100 });
const path = fc.constantFrom('/amount', '/currency', '/lines/0', '/no~1thing');
const number = fc.integer({ min: -3, max: 12 }).map((tenths) => tenths / 2);
const positive = fc.integer({ min: 1, max: 12 }).map((tenths) => tenths / 2);
const word = fc.constantFrom('EUR', 'CHF', 'Zürich & <Söhne>', '');
const someTools = fc.array(toolPattern, { minLength: 1, maxLength: 4 });
const range = fc
  .tuple(path, number, number)
  .map(([at, a, b]): Caveat => ({ t: 'args', path: at, min: Math.min(a, b), max: Math.max(a, b) }));

/** Any caveat that can be written, the enforceable ones most often. */
export const anyCaveat: fc.Arbitrary<Caveat> = fc.oneof(
  someTools.map((tools): Caveat => ({ t: 'tool_allow', tools })),
  someTools.map((tools): Caveat => ({ t: 'tool_deny', tools })),
  seconds.map((exp): Caveat => ({ t: 'exp', exp })),
  seconds.map((nbf): Caveat => ({ t: 'nbf', nbf })),
  fc
    .array(upstream, { minLength: 1, maxLength: 2 })
    .map((upstreams): Caveat => ({ t: 'upstream', upstreams })),
  agent.map((name): Caveat => ({ t: 'agent_lock', agent: name })),
  agent.map((name): Caveat => ({ t: 'actor', agent: name })),
  fc.constantFrom('demo', 'other').map((tenant): Caveat => ({ t: 'tenant', tenant })),
  fc.constantFrom('task-1', 'task-2').map((task): Caveat => ({ t: 'task', task })),
  fc.constantFrom('gateway', 'other').map((audience): Caveat => ({ t: 'audience', audience })),
  fc.integer({ min: 1, max: 9 }).map((max_calls): Caveat => ({ t: 'max_calls', max_calls })),
  fc
    .tuple(path, fc.oneof(word, number, fc.boolean()))
    .map(([at, equals]): Caveat => ({ t: 'args', path: at, equals })),
  fc
    .tuple(path, fc.array(word, { minLength: 1, maxLength: 3 }))
    .map(([at, one_of]): Caveat => ({ t: 'args', path: at, one_of })),
  fc
    .tuple(path, fc.constantFrom('E', 'Zü'))
    .map(([at, prefix]): Caveat => ({ t: 'args', path: at, prefix })),
  range,
  fc.tuple(path, positive).map(([at, max]): Caveat => ({ t: 'amount', path: at, max })),
  fc.tuple(path, positive).map(([at, total]): Caveat => ({ t: 'amount', path: at, total })),
  fc.constantFrom<Caveat>(
    { t: 'mcp_allow', servers: ['shop'] },
    { t: 'step_up', step_up_at: 1 },
    { t: 'sender', jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
    { t: 'sender', 'x5t#S256': 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0' },
  ),
);

export const anyCall: fc.Arbitrary<CapabilityCall> = fc.record({
  tool,
  upstream,
  arguments: fc.record(
    {
      amount: fc.oneof(number, fc.constantFrom('5', null, true)),
      currency: word,
      lines: fc.array(number, { maxLength: 2 }),
    },
    { requiredKeys: [], noNullPrototype: true },
  ),
  agent,
  actors: fc.constantFrom(['agent-a'], ['agent-b', 'agent-a'], ['agent-b']),
  tenant: fc.constantFrom('demo', 'demo', 'demo', 'other'),
  task: fc.constantFrom('task-1', ''),
  audience: fc.constantFrom('gateway', ''),
  sender: fc.constantFrom(NO_KEYS, {
    jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I',
    'x5t#S256': 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0',
  }),
  nowMs: fc.integer({ min: 1_699_999_999_000, max: 1_700_000_101_000 }),
});

/** Parts of the JSON of a capability, whole and odd ones. */
const PIECES = [
  '{"v":4',
  '"jti":"a"',
  '}',
  '"nbf":2',
  '"v":4',
  '"iat":1.0',
  '"iat":1e0',
  '"sub":"\\ud800"',
  '"__proto__":{}',
  '"cav":null',
  '"cav":[]',
  '"cav":[{"t":"exp","exp":1}]',
  '"cav":[{"t":"exp","exp":1.0}]',
  '"cav":[{"t":"task","task":"\\u2028"}]',
  '"cav":[{"t":"args","path":"/a","equals":-0}]',
  '"cav":[{"t":"args","path":"/a","equals":"\\ud800"}]',
  '"cav":[{"t":"args","path":"/a","min":0.0000001}]',
  '"cav":[{"t":"args","path":"/a","min":1e400}]',
  '"cav":[{"t":"args","path":"/a","one_of":[1,"1"]}]',
];
const piece = fc.constantFrom(...PIECES);
/** All that must stand before and after the caveats. */
const HEAD = '{"v":4,"jti":"a","root_jti":"a","iss":"a","tenant":"a","zone":"a","sub":"a","iat":1';
const TAIL = `"sig":"${'A'.repeat(43)}"}`;

/** Texts of which some are capabilities, and most nearly are; their signatures are made up. */
export const anyCapabilityText: fc.Arbitrary<string> = fc
  .oneof(
    fc.array(piece, { maxLength: 9 }).map((parts) => parts.join(',')),
    fc.array(piece, { maxLength: 2 }).map((parts) => [HEAD, ...parts, TAIL].join(',')),
  )
  .map((text) => Buffer.from(text).toString('base64url'));
