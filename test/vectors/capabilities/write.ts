/**
 * Writes the capability vectors from the tables below. It signs byte strings given by hand with
 * node:crypto alone and uses nothing of the implementation under test, so that a fault there cannot
 * hide in its own vectors. Run after changing a table: `node test/vectors/capabilities/write.ts`.
 */
import { createHmac, createHash, hkdfSync } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';

const MASTER = Buffer.alloc(32, 0x4d);
const KEY = Buffer.from(hkdfSync('sha256', MASTER, '', 'countersign capability v4 demo', 32));
const OTHER = Buffer.alloc(32, 0x6f);
/** The key of IntentGate's vector T1. */
const T1_KEY = Buffer.alloc(32, 0x78);

const ROOT =
  '{"v":4,"jti":"ZVPxAAABAgMEBQYHCAkKCw","root_jti":"ZVPxAAABAgMEBQYHCAkKCw","iss":"countersign",' +
  '"tenant":"demo","zone":"default","sub":"agent-x","iat":1700000000}';
const LOCK = '{"t":"agent_lock","agent":"agent-x"}';
const EXP = '{"t":"exp","exp":1700003600}';
const TOOLS = '{"t":"tool_allow","tools":["lookup_order","refund_order"]}';

const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
const base64url = (text: string) => Buffer.from(text).toString('base64url');

/** The signatures of a chain whose signed bytes are given. */
function chain(root: string, caveats: readonly string[], key: Buffer = KEY): Buffer[] {
  const signatures = [hmac(key, root)];
  for (const caveat of caveats) signatures.push(hmac(signatures.at(-1)!, caveat));
  return signatures;
}

const signature = (root: string, caveats: readonly string[], key: Buffer = KEY) =>
  chain(root, caveats, key).at(-1)!.toString('base64url');

/** The JSON inside a capability. `sent` = the caveats as they travel, when not as they were signed. */
function json(root: string, caveats: readonly string[], sent = caveats, key: Buffer = KEY): string {
  const list = caveats.length === 0 ? '' : `,"cav":[${sent.join(',')}]`;
  return `${root.slice(0, -1)}${list},"sig":"${signature(root, caveats, key)}"}`;
}

const capability = (root: string, caveats: readonly string[], sent = caveats, key: Buffer = KEY) =>
  base64url(json(root, caveats, sent, key));

const hex = (keys: readonly Buffer[]) => keys.map((key) => key.toString('hex'));

interface Valid {
  readonly what: string;
  readonly root?: string;
  /** As signed. */
  readonly caveats: readonly string[];
  /** As in the transport; as signed, if absent. */
  readonly sent?: readonly string[];
  readonly transport?: string;
  readonly key?: Buffer;
  readonly keys?: readonly Buffer[];
}

const T1_ROOT =
  '{"v":4,"jti":"root-jti-1","root_jti":"root-jti-1","iss":"intentgate","tenant":"default",' +
  '"zone":"default","sub":"agent-x","iat":1700000000}';

const JAVASCRIPT_TASK = '{"t":"task","task":"retour <M\u00fcller & S\u00f6hne>"}';

const VALID: Readonly<Record<string, Valid>> = {
  'intentgate-t1': { what: 'made by IntentGate\'s own package', root: T1_ROOT, caveats: [LOCK], key: T1_KEY, keys: [T1_KEY] },
  'root-without-caveats': { what: '"cav" is absent when there is no caveat', caveats: [] },
  'root-not-before': { what: 'nbf of the claims', root: `${ROOT.slice(0, -1)},"nbf":1700000060}`, caveats: [LOCK, EXP] },
  'narrowed-twice': { what: 'tools, then one call', caveats: [LOCK, EXP, TOOLS, '{"t":"max_calls","max_calls":1}'] },
  'second-key': { what: 'signed by the key before the newest', caveats: [LOCK], key: OTHER, keys: [KEY, OTHER] },
  'intentgate-caveats': {
    what: 'each caveat of IntentGate, members in their order',
    caveats: [
      LOCK, EXP, TOOLS,
      '{"t":"tool_deny","tools":["run_*"]}',
      '{"t":"mcp_allow","servers":["shop"]}',
      '{"t":"max_calls","max_calls":100}',
      '{"t":"step_up","step_up_at":1700000000}',
      '{"t":"callee_allow","callees":["agent-y"],"callee_zones":["finance"]}',
      '{"t":"risk_max","risk_max":50}',
      '{"t":"rate_limit","rate_per_min":60}',
      '{"t":"max_cost","max_cents":500}',
    ],
  },
  'countersign-caveats': {
    what: 'each caveat of ours, members in their order; numbers as short decimals, nothing left out for being zero',
    caveats: [
      '{"t":"nbf","nbf":1700000000}',
      '{"t":"upstream","upstreams":["shop","crm"]}',
      '{"t":"tenant","tenant":"demo"}',
      '{"t":"task","task":"task-1"}',
      '{"t":"actor","agent":"sub-agent"}',
      '{"t":"audience","audience":"https://gateway.example"}',
      '{"t":"args","path":"/notify","equals":false}',
      '{"t":"args","path":"/retries","equals":0}',
      '{"t":"args","path":"/note","equals":""}',
      '{"t":"args","path":"/currency","one_of":["EUR","CHF"]}',
      '{"t":"args","path":"/quantity","one_of":[1,2.5,-3]}',
      '{"t":"args","path":"/path","prefix":"/reports/"}',
      '{"t":"args","path":"/temperature","min":-10.5,"max":0}',
      '{"t":"args","path":"/a~1b/0/c~0d","min":0.000001}',
      '{"t":"amount","path":"/amount","max":129.95,"total":1000}',
      '{"t":"sender","jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}',
      '{"t":"sender","x5t#S256":"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}',
    ],
  },
  'go-escapes': {
    what: 'Go writes < > & U+2028 U+2029 escaped, other text raw, short escapes for control characters that have one',
    caveats: ['{"t":"task","task":"\\u003cM\u00fcller \\u0026 S\u00f6hne\\u003e \\u2028\\u2029 \\b\\f\\n\\r\\t\\u0001 \\"\\\\\u007f \u{1f600}"}'],
  },
  'javascript-writes-html-characters-raw': {
    what: 'a caveat added and sent by a JavaScript program',
    caveats: [LOCK, '{"t":"tool_allow","tools":["a&b","<\u2028>"]}'],
  },
  'python-escapes-all-but-ascii': {
    what: 'a caveat added by a Python program, which sends with a blank after each separator',
    caveats: [LOCK, '{"t":"tool_allow","tools":["caf\\u00e9\\u007f","\\ud83d\\ude00&"]}'],
    transport: json(ROOT, [LOCK, '{"t":"tool_allow","tools":["caf\\u00e9\\u007f","\\ud83d\\ude00&"]}'])
      .replaceAll('":', '": ').replaceAll(',"', ', "').replaceAll(',{', ', {'),
  },
  'two-dialects-in-one-chain': {
    what: 'a Go program and a JavaScript program each added a caveat in their own encoding; a Go program sends it',
    caveats: [
      '{"t":"tool_allow","tools":["a\\u0026\u00e9","b"]}',
      '{"t":"tool_allow","tools":["a&\u00e9"]}',
    ],
    sent: [
      '{"t":"tool_allow","tools":["a\\u0026\u00e9","b"]}',
      '{"t":"tool_allow","tools":["a\\u0026\u00e9"]}',
    ],
  },
  'many-caveats-in-one-dialect': {
    what: 'more ambiguous caveats than combinations are tried, all by JavaScript',
    caveats: Array.from({ length: 12 }, (_, n) => `{"t":"tool_deny","tools":["&${n}"]}`),
  },
  '64-caveats': { what: 'as many as allowed', caveats: Array<string>(64).fill(LOCK) },
};

const big = (count: number) => `{"t":"tool_deny","tools":[${Array.from({ length: count }, (_, n) => `"t${n}"`).join(',')}]}`;
const cav = (...caveats: string[]) => capability(ROOT, caveats);
const good = capability(ROOT, [LOCK]);
const goodJson = json(ROOT, [LOCK]);
const without = (member: string) => ROOT.replace(new RegExp(`"${member}":("[^"]*"|\\d+),?`), '').replace(',}', '}');
const withV = (version: string) => ROOT.replace('"v":4', `"v":${version}`);

/** `[code, capability]`, each rightly signed unless its name says otherwise. */
const INVALID: Readonly<Record<string, readonly [code: string, capability: string]>> = {
  empty: ['malformed', ''],
  'base64-padded': ['malformed', `${good}=`],
  'base64-standard-alphabet': ['malformed', capability(ROOT.replace('agent-x', '\u00fb\u00ff\u00bf'), []).replaceAll('_', '/').replaceAll('-', '+')],
  'base64-blank-at-the-end': ['malformed', `${good} `],
  'base64-line-break': ['malformed', `${good.slice(0, 40)}\n${good.slice(40)}`],
  'base64-stray-bits': ['malformed', `${good.slice(0, -1)}${good.endsWith('Q') ? 'R' : nextCharacter(good)}`],
  'too-long': ['malformed', cav(...Array.from({ length: 60 }, () => big(40)))],
  'json-not-an-object': ['malformed', base64url('[4]')],
  'json-syntax': ['malformed', base64url(goodJson.slice(0, -1))],
  'json-trailing-text': ['malformed', base64url(`${goodJson} `)],
  'json-blank': ['malformed', base64url(goodJson.replace('"v":4', '"v": 4'))],
  'json-duplicate-member': ['malformed', base64url(goodJson.replace('"sub":', '"sub":"agent-y","sub":'))],
  'json-duplicate-member-in-caveat': ['malformed', base64url(goodJson.replace('"agent":', '"agent":"agent-y","agent":'))],
  'json-escape-not-needed': ['malformed', base64url(goodJson.replace('agent_lock', 'agent\\u005flock'))],
  'json-number-with-exponent': ['malformed', base64url(goodJson.replace('1700000000', '17e8'))],
  'json-members-reordered': ['malformed', base64url(goodJson.replace('"v":4,', '').replace('"iat":', '"v":4,"iat":'))],
  'json-caveat-members-reordered': ['malformed', base64url(goodJson.replace(LOCK, '{"agent":"agent-x","t":"agent_lock"}'))],
  'member-unknown': ['malformed', base64url(goodJson.replace('"v":4', '"v":4,"admin":true'))],
  'member-in-capitals': ['malformed', base64url(goodJson.replace('"sub"', '"Sub"'))],
  'member-in-capitals-beside-the-real-one': ['malformed', base64url(goodJson.replace('"sub":', '"Sub":"agent-y","sub":'))],
  'jti-missing': ['malformed', capability(without('jti'), [])],
  'root-jti-missing': ['malformed', capability(without('root_jti'), [])],
  'tenant-missing': ['malformed', capability(without('tenant'), [])],
  'zone-missing': ['malformed', capability(without('zone'), [])],
  'sub-missing': ['malformed', capability(without('sub'), [])],
  'sub-empty': ['malformed', capability(ROOT.replace('"sub":"agent-x"', '"sub":""'), [])],
  'iat-missing': ['malformed', capability(without('iat'), [])],
  'iat-zero': ['malformed', capability(ROOT.replace('1700000000', '0'), [])],
  'iat-as-text': ['malformed', capability(ROOT.replace('1700000000', '"1700000000"'), [])],
  'nbf-zero': ['malformed', capability(`${ROOT.slice(0, -1)},"nbf":0}`, [])],
  'cav-null': ['malformed', base64url(json(ROOT, []).replace(',"sig"', ',"cav":null,"sig"'))],
  'cav-empty-list': ['malformed', base64url(json(ROOT, []).replace(',"sig"', ',"cav":[],"sig"'))],
  'cav-65-caveats': ['malformed', cav(...Array<string>(65).fill('{"t":"nbf","nbf":1}'))],
  'sig-missing': ['malformed', base64url(ROOT)],
  'sig-too-short': ['malformed', base64url(goodJson.replace(/"sig":".{43}"/, `"sig":"${signature(ROOT, [LOCK]).slice(0, 40)}"`))],
  'sig-padded': ['malformed', base64url(goodJson.replace(/("sig":".{43})"/, '$1="'))],
  'version-1': ['version', capability(withV('1'), [])],
  'version-3': ['version', capability(withV('3').replace('"zone":"default",', ''), [])],
  'version-5': ['version', capability(withV('5'), [])],
  'version-as-text': ['version', capability(withV('"4"'), [])],
  'version-missing': ['version', capability(without('v'), [])],
  'signature-of-another-key': ['signature', capability(ROOT, [LOCK], [LOCK], OTHER)],
  'signature-of-another-tenants-key': ['signature', capability(ROOT, [LOCK], [LOCK], Buffer.from(hkdfSync('sha256', MASTER, '', 'countersign capability v4 demo2', 32)))],
  'signature-claims-changed': ['signature', base64url(goodJson.replace('"sub":"agent-x"', '"sub":"agent-y"'))],
  'signature-tenant-changed': ['signature', base64url(goodJson.replace('"tenant":"demo"', '"tenant":"other"'))],
  'signature-caveat-changed': ['signature', base64url(json(ROOT, [LOCK, EXP]).replace('1700003600', '1800003600'))],
  'signature-caveat-removed': ['signature', base64url(json(ROOT, [LOCK, EXP]).replace(`,${EXP}`, ''))],
  'signature-caveats-swapped': ['signature', capability(ROOT, [LOCK, EXP], [EXP, LOCK])],
  'signature-caveat-added-without-signing': ['signature', capability(ROOT, [LOCK], [LOCK, EXP])],
  'signature-zero': ['signature', base64url(goodJson.replace(/"sig":".{43}"/, `"sig":"${'A'.repeat(43)}"`))],
  'signature-our-caveat-in-another-dialect': ['signature', capability(ROOT, [JAVASCRIPT_TASK], [JAVASCRIPT_TASK.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')])],
  'caveat-unknown': ['unknown_caveat', cav('{"t":"colour","colour":"red"}')],
  'caveat-unknown-in-capitals': ['unknown_caveat', cav('{"t":"EXP","exp":1700003600}')],
  'caveat-inherited-name': ['unknown_caveat', cav('{"t":"toString"}')],
  'caveat-not-an-object': ['malformed', cav('"exp"')],
  'caveat-without-type': ['malformed', cav('{"exp":1700003600}')],
  'caveat-member-missing': ['malformed', cav('{"t":"exp"}')],
  'caveat-member-of-another': ['malformed', cav('{"t":"exp","tools":["x"],"exp":1700003600}')],
  'caveat-member-null': ['malformed', cav('{"t":"exp","exp":null}')],
  'exp-zero': ['malformed', cav('{"t":"exp","exp":0}')],
  'exp-fraction': ['malformed', cav('{"t":"exp","exp":1700003600.5}')],
  'exp-beyond-year-9999': ['malformed', cav('{"t":"exp","exp":253402300800}')],
  'max-calls-zero': ['malformed', cav('{"t":"max_calls","max_calls":0}')],
  'max-calls-absent': ['malformed', cav('{"t":"max_calls"}')],
  'max-calls-negative': ['malformed', cav('{"t":"max_calls","max_calls":-1}')],
  'tools-empty': ['malformed', cav('{"t":"tool_allow","tools":[]}')],
  'tools-absent': ['malformed', cav('{"t":"tool_deny"}')],
  'tools-empty-name': ['malformed', cav('{"t":"tool_deny","tools":[""]}')],
  'tools-one-text': ['malformed', cav('{"t":"tool_deny","tools":"run_sql"}')],
  'tools-malformed-pattern': ['malformed', cav('{"t":"tool_deny","tools":["run_["]}')],
  'tools-257-entries': ['malformed', cav(big(257))],
  'text-longer-than-1024-bytes': ['malformed', cav(`{"t":"task","task":"${'\u00e9'.repeat(513)}"}`)],
  'callee-allow-empty': ['malformed', cav('{"t":"callee_allow"}')],
  'args-without-condition': ['malformed', cav('{"t":"args","path":"/amount"}')],
  'args-two-conditions': ['malformed', cav('{"t":"args","path":"/amount","equals":1,"max":2}')],
  'args-min-above-max': ['malformed', cav('{"t":"args","path":"/amount","min":2,"max":1}')],
  'args-path-without-slash': ['malformed', cav('{"t":"args","path":"amount","max":1}')],
  'args-path-empty': ['malformed', cav('{"t":"args","path":"","equals":1}')],
  'args-path-bad-escape': ['malformed', cav('{"t":"args","path":"/a~2","equals":1}')],
  'args-equals-null': ['malformed', cav('{"t":"args","path":"/a","equals":null}')],
  'args-equals-list': ['malformed', cav('{"t":"args","path":"/a","equals":["a"]}')],
  'args-one-of-empty': ['malformed', cav('{"t":"args","path":"/a","one_of":[]}')],
  'args-one-of-mixed-types': ['malformed', cav('{"t":"args","path":"/a","one_of":["1",1]}')],
  'args-prefix-empty': ['malformed', cav('{"t":"args","path":"/a","prefix":""}')],
  'number-with-seven-decimals': ['malformed', cav('{"t":"args","path":"/a","max":0.0000001}')],
  'number-written-with-trailing-zero': ['malformed', cav('{"t":"args","path":"/a","max":1.50}')],
  'number-negative-zero': ['malformed', cav('{"t":"args","path":"/a","max":-0}')],
  'amount-without-limit': ['malformed', cav('{"t":"amount","path":"/amount"}')],
  'amount-max-zero': ['malformed', cav('{"t":"amount","path":"/amount","max":0}')],
  'amount-total-negative': ['malformed', cav('{"t":"amount","path":"/amount","total":-5}')],
  'sender-not-a-thumbprint': ['malformed', cav('{"t":"sender","jkt":"abc"}')],
  'sender-without-key': ['malformed', cav('{"t":"sender"}')],
  'sender-two-keys': ['malformed', cav('{"t":"sender","jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","x5t#S256":"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}')],
  'sender-stray-bits': ['malformed', cav('{"t":"sender","jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J"}')],
};

/** The text whose last character differs only in bits that carry nothing, for any length. */
function nextCharacter(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return alphabet.charAt(alphabet.indexOf(text.at(-1)!) + 1);
}

const CALL = {
  tool: 'refund_order',
  upstream: 'shop',
  arguments: { order_id: 'o-4711', amount: 40.5, currency: 'EUR', notify: false, lines: [{ sku: 'a/b' }], 'odd/na~me': 1 },
  agent: 'agent-x',
  actors: ['agent-x'],
  tenant: 'demo',
  task: 'task-1',
  audience: 'https://gateway.example',
  sender: { jkt: '', 'x5t#S256': '' },
  now_ms: 1_700_000_100_000,
};
type Refusal = readonly [code: string, index: number, type: string] | null;

/** What a capability with these caveats says to `CALL` with these changes. */
const JUDGED: readonly [name: string, caveats: readonly string[], call: object, refusal: Refusal][] = [
  ['covered', [LOCK, EXP, TOOLS, '{"t":"max_calls","max_calls":5}'], {}, null],
  ['root-other-tenant', [], { tenant: 'other' }, ['wrong_tenant', -1, 'root']],
  ['root-agent-is-no-actor', [], { agent: 'agent-y', actors: ['agent-y'] }, ['wrong_agent', -1, 'root']],
  ['root-agent-is-an-earlier-actor', [], { agent: 'sub-agent', actors: ['sub-agent', 'agent-x'] }, null],
  ['root-issued-5-seconds-ahead', [], { now_ms: 1_699_999_995_000 }, null],
  ['root-issued-in-the-future', [], { now_ms: 1_699_999_994_999 }, ['not_yet_valid', -1, 'root']],
  ['first-failure-in-chain-order', [TOOLS, EXP], { tool: 'run_sql', now_ms: 1_800_000_000_000 }, ['tool_not_covered', 0, 'tool_allow']],
  ['agent-lock-of-another', ['{"t":"agent_lock","agent":"agent-y"}'], {}, ['wrong_agent', 0, 'agent_lock']],
  ['actor', ['{"t":"actor","agent":"sub-agent"}'], { agent: 'sub-agent', actors: ['sub-agent', 'agent-x'] }, null],
  ['actor-not-outermost', ['{"t":"actor","agent":"agent-x"}'], { agent: 'sub-agent', actors: ['sub-agent', 'agent-x'] }, ['wrong_agent', 0, 'actor']],
  ['exp-last-millisecond', [EXP], { now_ms: 1_700_003_599_999 }, null],
  ['exp-at-the-second', [EXP], { now_ms: 1_700_003_600_000 }, ['expired', 0, 'exp']],
  ['exp-later-one-does-not-extend', [EXP, '{"t":"exp","exp":1800000000}'], { now_ms: 1_700_003_600_000 }, ['expired', 0, 'exp']],
  ['nbf-at-the-second', ['{"t":"nbf","nbf":1700000100}'], {}, null],
  ['nbf-one-millisecond-early', ['{"t":"nbf","nbf":1700000100}'], { now_ms: 1_700_000_099_999 }, ['not_yet_valid', 0, 'nbf']],
  ['tool-exact', [TOOLS], { tool: 'lookup_order' }, null],
  ['tool-in-capitals', [TOOLS], { tool: 'Lookup_Order' }, ['tool_not_covered', 0, 'tool_allow']],
  ['tool-pattern', ['{"t":"tool_allow","tools":["*_order"]}'], {}, null],
  ['tool-pattern-does-not-cross-slash', ['{"t":"tool_allow","tools":["*"]}'], { tool: 'shop/refund' }, ['tool_not_covered', 0, 'tool_allow']],
  ['tool-allow-intersects', [TOOLS, '{"t":"tool_allow","tools":["lookup_order","run_sql"]}'], {}, ['tool_not_covered', 1, 'tool_allow']],
  ['tool-deny', ['{"t":"tool_deny","tools":["refund_*"]}'], {}, ['tool_forbidden', 0, 'tool_deny']],
  ['tool-deny-other', ['{"t":"tool_deny","tools":["run_*"]}'], {}, null],
  ['mcp-allow-prefixed-tool', ['{"t":"mcp_allow","servers":["shop"]}'], { tool: 'shop.refund' }, null],
  ['mcp-allow-longer-name', ['{"t":"mcp_allow","servers":["shop"]}'], { tool: 'shopping.refund' }, ['upstream_not_covered', 0, 'mcp_allow']],
  ['upstream', ['{"t":"upstream","upstreams":["crm","shop"]}'], {}, null],
  ['upstream-other', ['{"t":"upstream","upstreams":["crm"]}'], {}, ['upstream_not_covered', 0, 'upstream']],
  ['upstream-not-known', ['{"t":"upstream","upstreams":["crm"]}'], { upstream: '' }, ['upstream_not_covered', 0, 'upstream']],
  ['tenant-other', ['{"t":"tenant","tenant":"other"}'], {}, ['wrong_tenant', 0, 'tenant']],
  ['task', ['{"t":"task","task":"task-1"}'], {}, null],
  ['task-none', ['{"t":"task","task":"task-1"}'], { task: '' }, ['wrong_task', 0, 'task']],
  ['audience-with-slash', ['{"t":"audience","audience":"https://gateway.example/"}'], {}, ['wrong_audience', 0, 'audience']],
  ['args-equals', ['{"t":"args","path":"/order_id","equals":"o-4711"}'], {}, null],
  ['args-equals-other', ['{"t":"args","path":"/order_id","equals":"o-4712"}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-equals-number-as-text', ['{"t":"args","path":"/amount","equals":"40.5"}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-equals-false', ['{"t":"args","path":"/notify","equals":false}'], {}, null],
  ['args-equals-false-missing', ['{"t":"args","path":"/absent","equals":false}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-one-of', ['{"t":"args","path":"/currency","one_of":["CHF","EUR"]}'], {}, null],
  ['args-one-of-other', ['{"t":"args","path":"/currency","one_of":["CHF","eur"]}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-prefix', ['{"t":"args","path":"/order_id","prefix":"o-"}'], {}, null],
  ['args-prefix-of-a-list', ['{"t":"args","path":"/lines","prefix":"o-"}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-range-inclusive', ['{"t":"args","path":"/amount","min":40.5,"max":40.5}'], {}, null],
  ['args-range-above', ['{"t":"args","path":"/amount","max":40.499999}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-range-null', ['{"t":"args","path":"/amount","max":100}'], { arguments: { amount: null } }, ['arguments_not_covered', 0, 'args']],
  ['args-range-false', ['{"t":"args","path":"/amount","max":100}'], { arguments: { amount: false } }, ['arguments_not_covered', 0, 'args']],
  ['args-range-text', ['{"t":"args","path":"/amount","max":100}'], { arguments: { amount: '5 000' } }, ['arguments_not_covered', 0, 'args']],
  ['args-range-missing', ['{"t":"args","path":"/amount","min":0}'], { arguments: {} }, ['arguments_not_covered', 0, 'args']],
  ['args-path-into-list', ['{"t":"args","path":"/lines/0/sku","equals":"a/b"}'], {}, null],
  ['args-path-list-index-with-zero', ['{"t":"args","path":"/lines/00/sku","equals":"a/b"}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-path-list-length', ['{"t":"args","path":"/lines/length","equals":1}'], {}, ['arguments_not_covered', 0, 'args']],
  ['args-path-escaped', ['{"t":"args","path":"/odd~1na~0me","equals":1}'], {}, null],
  ['args-path-inherited', ['{"t":"args","path":"/toString/length","equals":0}'], {}, ['arguments_not_covered', 0, 'args']],
  ['amount-within', ['{"t":"amount","path":"/amount","max":40.5}'], {}, null],
  ['amount-above', ['{"t":"amount","path":"/amount","max":40}'], {}, ['arguments_not_covered', 0, 'amount']],
  ['amount-negative', ['{"t":"amount","path":"/amount","max":40}'], { arguments: { amount: -1 } }, ['arguments_not_covered', 0, 'amount']],
  ['amount-missing', ['{"t":"amount","path":"/amount","max":40}'], { arguments: {} }, ['arguments_not_covered', 0, 'amount']],
  ['amount-total-with-expiry', [EXP, '{"t":"amount","path":"/amount","total":100}'], {}, null],
  ['amount-total-without-expiry', ['{"t":"amount","path":"/amount","total":100}'], {}, ['calls_need_expiry', 0, 'amount']],
  ['calls-without-expiry', ['{"t":"max_calls","max_calls":5}'], {}, ['calls_need_expiry', 0, 'max_calls']],
  ['calls-expiry-after-them', ['{"t":"max_calls","max_calls":5}', EXP], {}, ['calls_need_expiry', 0, 'max_calls']],
  ['calls-expiry-in-31-days', ['{"t":"exp","exp":1702678400}', '{"t":"max_calls","max_calls":5}'], {}, null],
  ['calls-expiry-beyond-31-days', ['{"t":"exp","exp":1702678401}', '{"t":"max_calls","max_calls":5}'], {}, ['calls_need_expiry', 1, 'max_calls']],
  ['unenforceable-step-up', ['{"t":"step_up","step_up_at":1700000000}'], {}, ['unenforceable', 0, 'step_up']],
  ['unenforceable-callee-allow', ['{"t":"callee_allow","callees":["agent-y"]}'], {}, ['unenforceable', 0, 'callee_allow']],
  ['unenforceable-risk-max', ['{"t":"risk_max","risk_max":50}'], {}, ['unenforceable', 0, 'risk_max']],
  ['unenforceable-rate-limit', ['{"t":"rate_limit","rate_per_min":60}'], {}, ['unenforceable', 0, 'rate_limit']],
  ['unenforceable-max-cost', ['{"t":"max_cost","max_cents":500}'], {}, ['unenforceable', 0, 'max_cost']],
  ['sender-not-proved', ['{"t":"sender","jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}'], {}, ['wrong_sender', 0, 'sender']],
  ['sender-proved', ['{"t":"sender","jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}'], { sender: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I', 'x5t#S256': '' } }, null],
  ['sender-proved-by-certificate', [
    '{"t":"sender","x5t#S256":"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}',
  ], { sender: { jkt: '', 'x5t#S256': 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0' } }, null],
  ['sender-thumbprint-of-another-kind', [
    '{"t":"sender","x5t#S256":"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}',
  ], { sender: { jkt: 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0', 'x5t#S256': '' } }, ['wrong_sender', 0, 'sender']],
];

function write(folder: string, name: string, vector: object): void {
  const path = new URL(`${folder}/${name}.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(vector, null, 2)}\n`);
}

for (const folder of ['valid', 'invalid', 'judged']) {
  rmSync(new URL(folder, import.meta.url), { recursive: true, force: true });
  mkdirSync(new URL(folder, import.meta.url));
}

for (const [name, vector] of Object.entries(VALID)) {
  const { root = ROOT, caveats, sent = caveats, key = KEY, keys = [KEY] } = vector;
  const claims = JSON.parse(root) as Record<string, unknown>;
  write('valid', name, {
    what: vector.what,
    keys: hex(keys),
    capability: base64url(vector.transport ?? json(root, caveats, sent, key)),
    signed: [root, ...caveats],
    verified: {
      jti: claims['jti'],
      root_jti: claims['root_jti'],
      issuer: claims['iss'],
      tenant: claims['tenant'],
      zone: claims['zone'],
      subject: claims['sub'],
      issued_at: claims['iat'],
      not_before: claims['nbf'] ?? null,
      caveats: caveats.map((caveat) => JSON.parse(caveat) as unknown),
      links: chain(root, caveats, key).map((link) => createHash('sha256').update(link).digest('hex')),
      key_index: keys.indexOf(key),
    },
  });
}
for (const [name, [code, text]] of Object.entries(INVALID)) {
  write('invalid', name, { keys: hex([KEY]), capability: text, code: `capability.${code}` });
}
for (const [name, caveats, changes, refusal] of JUDGED) {
  write('judged', name, {
    keys: hex([KEY]),
    capability: capability(ROOT, caveats),
    caveats: caveats.map((caveat) => JSON.parse(caveat) as unknown),
    call: { ...CALL, ...changes },
    refusal: refusal && { code: `capability.${refusal[0]}`, index: refusal[1], type: refusal[2] },
  });
}
