/**
 * Writes the receipt vectors from the tables below. It makes byte strings by hand with node:crypto alone and uses
 * nothing of the implementations under test. Run after changing a table: `node test/vectors/receipts/write.ts`.
 */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';

const AT = 1_800_000_000_000;
const EXP = AT + 30_000;

/** An Ed25519 key of a seed of equal bytes, as PKCS #8. */
function keyOf(byte: number) {
  const head = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key = createPrivateKey({
    key: Buffer.concat([head, Buffer.alloc(32, byte)]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return { key, x: x! };
}

const WORKER = keyOf(0x41);
const OTHER_WORKER = keyOf(0x42);
const STRANGER = keyOf(0x43);
const jwk = ({ x }: { x: string }) => ({
  kty: 'OKP',
  crv: 'Ed25519',
  alg: 'EdDSA',
  use: 'sig',
  kid: x,
  x,
  exp: 1_900_000_000,
});

const sha = (...parts: (string | Buffer)[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const hex = (text: string) => `sha256:${sha(text).toString('hex')}`;
const base64url = (bytes: Buffer | string) => Buffer.from(bytes).toString('base64url');

interface Said {
  readonly args: string;
  readonly tool: string;
  readonly toolText: string;
  readonly upstream: string;
  readonly tenant: string;
  readonly definition: string;
  readonly verdict: string;
  readonly at: number;
  readonly exp: number;
  readonly nonce: string;
  readonly key: string;
  readonly policy: string;
}

const PLAIN: Said = {
  args: '{"amount":10,"order_id":"ord_1001"}',
  tool: 'refund_order',
  toolText: '"refund_order"',
  upstream: 'shop',
  tenant: 'demo',
  definition: '',
  verdict: 'allow',
  at: AT,
  exp: EXP,
  nonce: '000102030405060708090a0b0c0d0e0f',
  key: WORKER.x,
  policy: hex('a policy'),
};

/** The text that is signed of a decision, by hand. */
function statement(said: Said): string {
  const argsHash = hex(said.args);
  const call = hex(
    `{"args_hash":"${argsHash}","definition_hash":"${said.definition}","tenant":"${said.tenant}",` +
      `"tool":${said.toolText},"upstream":"${said.upstream}","v":1}`,
  );
  const commitment = hex(`${said.nonce}\ncall\n${call}`);
  return (
    `{"args_hash":"${argsHash}","at":${said.at},"call":"${commitment}",` +
    `"decision_id":"0199d3a0-0000-7000-8000-000000000001","definition_hash":"${said.definition}",` +
    `"exp":${said.exp},"key":"${said.key}","nonce":"${said.nonce}","policy":"${said.policy}",` +
    `"tenant":"${said.tenant}","tool":${said.toolText},"upstream":"${said.upstream}","v":1,` +
    `"verdict":"${said.verdict}","worker":"worker-1"}`
  );
}

/** Root of RFC 6962, section 2.1, and the path of one leaf. */
function treeOf(leaves: Buffer[], index: number): { root: Buffer; path: Buffer[] } {
  if (leaves.length === 1) return { root: leaves[0]!, path: [] };
  let middle = 1;
  while (middle * 2 < leaves.length) middle *= 2;
  const left = treeOf(leaves.slice(0, middle), Math.min(index, middle - 1));
  const right = treeOf(leaves.slice(middle), Math.max(index - middle, 0));
  const root = sha(Buffer.of(1), left.root, right.root);
  return index < middle
    ? { root, path: [...left.path, right.root] }
    : { root, path: [...right.path, left.root] };
}

interface Group {
  readonly size?: number;
  readonly index?: number;
  readonly key?: typeof WORKER;
  /** Changes of the proof after signing. */
  readonly proof?: (proof: Buffer) => Buffer;
}

function receipt(text: string, { size = 1, index = 0, key = WORKER, proof }: Group = {}): string {
  const leaves = Array.from({ length: size }, (_, at) =>
    sha(Buffer.of(0), at === index ? text : `another ${at}`),
  );
  const { root, path } = treeOf(leaves, index);
  const signed = `countersign-receipt-1\n${size}\n${root.toString('hex')}\n`;
  const signature = sign(null, Buffer.from(signed), key.key);
  const head = Buffer.alloc(4);
  head.writeUInt16BE(index, 0);
  head.writeUInt16BE(size, 2);
  const bytes = Buffer.concat([head, signature, ...path]);
  return `csr1.${base64url(text)}.${base64url(proof?.(bytes) ?? bytes)}`;
}

const said = (change: Partial<Said> = {}) => statement({ ...PLAIN, ...change });
const flipped = (at: number) => (proof: Buffer) => {
  const copy = Buffer.from(proof);
  copy[at]! ^= 1;
  return copy;
};
const [PREFIX, SAID, PROOF] = receipt(said()).split('.') as [string, string, string];
/** The same receipt with another statement. */
const swapped = (text: string) => `${PREFIX}.${base64url(text)}.${PROOF}`;

interface Case {
  readonly receipt: string;
  /** What is about to run; as PLAIN, where nothing is said. */
  readonly tool?: string;
  readonly args?: string;
}

const ODD = {
  args: '{"é":"\\u0001","𝄞":[1e+21,0.1,-1.5e-7,true,null],"\uff3a":"Z"}',
  tool: 'get"quoted"',
  toolText: '"get\\"quoted\\""',
};

const VALID: Record<string, Case> = {
  'signed-alone': { receipt: receipt(said()) },
  'first-of-two': { receipt: receipt(said(), { size: 2 }) },
  'second-of-two': { receipt: receipt(said(), { size: 2, index: 1 }) },
  'last-of-three': { receipt: receipt(said(), { size: 3, index: 2 }) },
  'fifth-of-seven': { receipt: receipt(said(), { size: 7, index: 4 }) },
  'last-of-seven': { receipt: receipt(said(), { size: 7, index: 6 }) },
  'last-of-128': { receipt: receipt(said(), { size: 128, index: 127 }) },
  'first-of-100': { receipt: receipt(said(), { size: 100, index: 0 }) },
  'last-of-100': { receipt: receipt(said(), { size: 100, index: 99 }) },
  'signed-by-another-worker': {
    receipt: receipt(said({ key: OTHER_WORKER.x }), { key: OTHER_WORKER }),
  },
  'odd-characters-and-numbers': {
    receipt: receipt(said(ODD)),
    tool: ODD.tool,
    args: ODD.args,
  },
  'with-a-definition': { receipt: receipt(said({ definition: hex('a definition') })) },
  'without-a-policy': { receipt: receipt(said({ policy: '' })) },
  'expires-this-millisecond': { receipt: receipt(said({ exp: AT })) },
};

const reordered = said().replace(/^\{("args_hash":"[^"]*"),("at":\d+)/, '{$2,$1');
const INVALID: Record<string, Record<string, Case>> = {
  'receipt.missing': { empty: { receipt: '' } },
  'receipt.malformed': {
    'another-version': { receipt: `csr2.${SAID}.${PROOF}` },
    'without-a-proof': { receipt: `csr1.${SAID}` },
    'a-fourth-part': { receipt: `csr1.${SAID}.${PROOF}.` },
    padded: { receipt: `csr1.${SAID}.${PROOF}=` },
    'stray-bits-in-the-last-character': {
      receipt: `csr1.${SAID}.${PROOF.slice(0, -1)}${PROOF.endsWith('A') ? 'B' : String.fromCharCode(PROOF.charCodeAt(PROOF.length - 1) + 1)}`,
    },
    'a-blank-in-the-statement': { receipt: receipt(said().replace(',', ', ')) },
    'members-in-another-order': { receipt: receipt(reordered) },
    'a-member-twice': { receipt: receipt(said().replace('{', '{"args_hash":"x",')) },
    'a-member-too-many': { receipt: receipt(said().replace('}', ',"x":1}')) },
    'a-member-missing': { receipt: receipt(said().replace(',"worker":"worker-1"', '')) },
    'another-format': { receipt: receipt(said().replace('"v":1,"verdict"', '"v":2,"verdict"')) },
    'a-time-that-is-no-integer': {
      receipt: receipt(said().replace(`"at":${AT}`, `"at":${AT}.5`)),
    },
    'an-unknown-verdict': { receipt: receipt(said({ verdict: 'maybe' })) },
    'no-json': { receipt: receipt('csr1') },
    'a-list': { receipt: receipt('[]') },
    'no-utf-8': {
      receipt: `csr1.${base64url(Buffer.concat([Buffer.from(said()), Buffer.of(0xff)]))}.${PROOF}`,
    },
    'a-commitment-to-another-call': { receipt: receipt(said().replace('"shop"', '"bank"')) },
    'a-nonce-of-another-call': { receipt: receipt(said().replace('"0001', '"ff01')) },
    'half-a-signature': { receipt: receipt(said(), { proof: (bytes) => bytes.subarray(0, 36) }) },
    'half-a-hash-in-the-path': {
      receipt: receipt(said(), { size: 2, proof: (bytes) => bytes.subarray(0, 84) }),
    },
    'a-path-too-short': {
      receipt: receipt(said(), { size: 4, proof: (bytes) => bytes.subarray(0, 100) }),
    },
    'a-path-too-long': {
      receipt: receipt(said(), { proof: (bytes) => Buffer.concat([bytes, sha('more')]) }),
    },
    'a-size-that-needs-a-longer-path': {
      receipt: receipt(said(), { size: 2, index: 1, proof: flipped(3) }),
    },
    'an-index-beyond-the-size': { receipt: receipt(said(), { proof: flipped(1) }) },
    'a-size-of-nothing': { receipt: receipt(said(), { proof: flipped(3) }) },
    'too-long': { receipt: receipt(said().replace('"worker-1"', `"${'w'.repeat(4_000)}"`)) },
  },
  'receipt.signature': {
    'a-bit-of-the-signature': { receipt: receipt(said(), { proof: flipped(4) }) },
    'another-bit-of-the-signature': { receipt: receipt(said(), { proof: flipped(67) }) },
    'a-bit-of-the-path': { receipt: receipt(said(), { size: 2, proof: flipped(70) }) },
    'another-index': { receipt: receipt(said(), { size: 2, proof: flipped(1) }) },
    'another-size': { receipt: receipt(said(), { size: 7, proof: flipped(3) }) },
    'another-decision': { receipt: swapped(said().replace('000000000001', '000000000002')) },
    'a-later-expiry': { receipt: swapped(said({ exp: EXP + 1 })) },
    'a-block-made-an-allow': {
      receipt: `csr1.${SAID}.${receipt(said({ verdict: 'block' })).split('.')[2]}`,
    },
    'signed-by-another-known-worker': { receipt: receipt(said(), { key: OTHER_WORKER }) },
    'another-policy': { receipt: swapped(said({ policy: hex('another policy') })) },
  },
  'receipt.unknown_key': {
    'signed-by-a-stranger': { receipt: receipt(said({ key: STRANGER.x }), { key: STRANGER }) },
  },
  'receipt.other_call': {
    'other-arguments': { receipt: receipt(said()), args: '{"amount":11,"order_id":"ord_1001"}' },
    'an-argument-more': {
      receipt: receipt(said()),
      args: '{"amount":10,"note":"","order_id":"ord_1001"}',
    },
    'a-number-as-a-text': {
      receipt: receipt(said()),
      args: '{"amount":"10","order_id":"ord_1001"}',
    },
    'another-tool': { receipt: receipt(said()), tool: 'lookup_order' },
    'another-tenant': { receipt: receipt(said({ tenant: 'acme' })) },
    'another-upstream': { receipt: receipt(said({ upstream: 'bank' })) },
    'no-upstream': { receipt: receipt(said({ upstream: '' })) },
  },
  'receipt.not_allowed': {
    blocked: { receipt: receipt(said({ verdict: 'block' })) },
    held: { receipt: receipt(said({ verdict: 'escalate' })) },
  },
  'receipt.expired': { expired: { receipt: receipt(said({ exp: AT - 1 })) } },
  'receipt.not_yet': { 'from-the-future': { receipt: receipt(said({ at: AT + 5_001 })) } },
};

const folder = (name: string) => new URL(`./${name}/`, import.meta.url);
for (const name of ['valid', 'invalid']) {
  rmSync(folder(name), { recursive: true, force: true });
  mkdirSync(folder(name));
}

function write(kind: 'valid' | 'invalid', name: string, one: Case, expected: string): void {
  const vector = {
    expected,
    receipt: one.receipt,
    call: { tool: one.tool ?? PLAIN.tool, arguments: JSON.parse(one.args ?? PLAIN.args) as unknown },
  };
  writeFileSync(new URL(`${name}.json`, folder(kind)), `${JSON.stringify(vector, null, 2)}\n`);
}

for (const [name, one] of Object.entries(VALID)) write('valid', name, one, 'ok');
for (const [code, cases] of Object.entries(INVALID)) {
  for (const [name, one] of Object.entries(cases)) write('invalid', name, one, code);
}
const guard = {
  now: AT,
  upstream: 'shop',
  tenants: ['demo'],
  keys: { keys: [jwk(WORKER), jwk(OTHER_WORKER)] },
};
writeFileSync(new URL('guard.json', import.meta.url), `${JSON.stringify(guard, null, 2)}\n`);
