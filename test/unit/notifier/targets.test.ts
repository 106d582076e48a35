// Promise S2: of more than 2,000 targets that lead inside, none is connected to: every socket of this process is traced,
// and the resolver is this test's.

import { Socket } from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { type FakeServer, serveFake } from '#test/support/fake-http.ts';

import { isPublic, NotSent, poster, TargetRefused } from '../../../services/notifier/outgoing.ts';

/** Addresses that a socket was told to connect to; none ever is. */
let connected: string[] = [];
interface Target {
  readonly host?: string;
  readonly port?: number;
  readonly lookup?: (
    host: string,
    options: { all: true },
    done: (error: Error | null, found: readonly { address: string }[]) => void,
  ) => void;
}
beforeAll(() => {
  vi.spyOn(Socket.prototype, 'connect').mockImplementation(function traced(
    this: Socket,
    ...args: unknown[]
  ): Socket {
    const [given] = args.flat() as [Target];
    if (given.lookup === undefined) connected.push(String(given.host));
    else {
      given.lookup(String(given.host), { all: true }, (_, found) =>
        connected.push(...found.map(({ address }) => address)),
      );
    }
    setImmediate(() => this.destroy(new Error('traced')));
    return this;
  });
});
afterAll(() => vi.restoreAllMocks());
afterEach(() => {
  connected = [];
});

/** The same numbers at each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
const pick = numbers(7);
const oneOf = <T>(values: readonly T[]): T => values[pick(values.length)] as T;

/** Special-purpose networks of IPv4, by hand from the IANA registry: first address and prefix. */
const INSIDE_4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['169.254.169.254', 32], // metadata of clouds
  ['100.100.100.200', 32],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['255.255.255.255', 32],
];
const toNumber = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const parts = (value: number): number[] => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
const inside4 = (): number => {
  const [first, prefix] = oneOf(INSIDE_4);
  return toNumber(first) + pick(2 ** (32 - prefix));
};
const dotted = (value: number): string => parts(value).join('.');
const hextets = (value: number): string => {
  const [a = 0, b = 0, c = 0, d = 0] = parts(value);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
};
const wide = (text: string, zero: number): string =>
  text.replace(/\d/g, (digit) => String.fromCodePoint(zero + Number(digit)));

/** Ways to write an IPv4 address in a URL. */
const SPELLINGS: readonly ((value: number) => string)[] = [
  dotted,
  (value) => `${dotted(value)}.`,
  (value) => String(value),
  (value) => `0x${value.toString(16)}`,
  (value) => `0${value.toString(8)}`,
  (value) =>
    parts(value)
      .map((part) => `0x${part.toString(16)}`)
      .join('.'),
  (value) =>
    parts(value)
      .map((part) => `0${part.toString(8)}`)
      .join('.'),
  (value) => `${value >>> 24}.${value & 0xffffff}`,
  (value) => `${value >>> 24}.${(value >>> 16) & 255}.${value & 0xffff}`,
  (value) => dotted(value).replaceAll('.', '%2e'),
  (value) => dotted(value).replaceAll('.', '。'),
  (value) => wide(dotted(value), 0xff10), // full-width digits
  (value) => wide(dotted(value), 0x1d7d8), // mathematical digits
  (value) => `[::ffff:${dotted(value)}]`,
  (value) => `[::ffff:${hextets(value)}]`,
  (value) => `[0:0:0:0:0:FFFF:${hextets(value).toUpperCase()}]`,
  (value) => `[::${dotted(value)}]`,
  (value) => `[64:ff9b::${dotted(value)}]`, // NAT64
  (value) => `[64:ff9b:1::${hextets(value)}]`,
  (value) => `[2002:${hextets(value)}::1]`, // 6to4
  (value) => `[2001:0:${hextets(value)}::1]`, // Teredo
];
const group = (): string => pick(65_536).toString(16);
const inside6 = (): string => {
  const tail = [group(), group(), group(), group()].join(':');
  return oneOf([
    '::',
    '::1',
    `fc00:${group()}:${group()}:${group()}:${tail}`,
    `fd${(pick(240) + 16).toString(16)}::${group()}`,
    `fe80::${tail}`,
    `fec0::${tail}`,
    `ff02::${group()}`,
    `100::${group()}`,
    `2001:db8::${tail}`,
    `3fff::${group()}`,
    'fd00:ec2::254', // metadata of a cloud
    `64:ff9b:1::${group()}`,
    `5f00::${tail}`,
  ]);
};
const insideAddress = (): string =>
  pick(2) === 0 ? dotted(inside4()) : pick(3) === 0 ? `::ffff:${dotted(inside4())}` : inside6();
const NAMES = [
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  'metadata.google.internal',
  'metadata',
  'instance-data.ec2.internal',
  'kubernetes.default.svc',
  'rebind.example',
  '127.0.0.1.nip.example',
  'bücher.example',
  'xn--bcher-kva.example',
  'ⓛⓞⓒⓐⓛⓗⓞⓢⓣ',
  'printer.local',
] as const;
const PUBLIC = ['8.8.8.8', '1.1.1.1', '2606:4700::1111'] as const;
const found = (address: string) => ({ address, family: address.includes(':') ? 6 : 4 });

const refusedAll = async (
  urls: readonly string[],
  resolve?: Parameters<typeof poster>[1],
): Promise<void> => {
  const never = () => Promise.reject(new Error('no name was to be looked up'));
  const post = poster(new Set(['127.0.0.1:1', '[::1]:1']), resolve ?? never);
  const reached: string[] = [];
  for (const url of urls) {
    const fault = await post({ url, headers: {}, body: '{}' }).catch((error: unknown) => error);
    if (!(fault instanceof TargetRefused)) reached.push(url);
  }
  expect(reached).toEqual([]);
  expect(connected).toEqual([]);
};

describe('nothing is connected to', () => {
  it('at 1,260 spellings of addresses of IPv4 that are not public', () =>
    refusedAll(
      SPELLINGS.flatMap((spelling) =>
        Array.from({ length: 60 }, () => `https://${spelling(inside4())}/hook`),
      ),
    ));

  it('at 400 addresses of IPv6 that are not public', () =>
    refusedAll(Array.from({ length: 400 }, () => `https://[${inside6()}]:${8_000 + pick(999)}/`)));

  it('at 500 names of which one address or more is not public, whichever comes first', async () => {
    for (let round = 0; round < 500; round++) {
      const answers = [insideAddress(), ...Array.from({ length: pick(3) }, () => oneOf(PUBLIC))];
      if (pick(2) === 0) answers.reverse();
      const zone = pick(8) === 0;
      const resolve = async () => answers.map(found).concat(zone ? [found('fe80::1%eth0')] : []);
      await refusedAll([`https://${oneOf(NAMES)}/`], resolve);
    }
  });

  it.each([
    'http://example.com/',
    'http://127.0.0.1:2/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'gopher://127.0.0.1:70/_',
    'javascript:alert(1)',
    'data:text/plain,x',
    'ws://127.0.0.1/',
    'https://user@example.com/',
    'https://:secret@example.com/',
    'https://example.com@127.0.0.1/',
    'https://127.0.0.1#@example.com/',
    'https://127.0.0.1?@example.com/',
    'https://127.0.0.1\\@example.com/',
    'https:127.0.0.1',
    'https:////127.0.0.1/',
    '\thttps://127.0.0.1/',
    'https://127.0.0.1\n/',
    'https://[fe80::1%25eth0]/',
    'https://[fe80::1%eth0]/',
    'https://[::1]:1@127.0.0.1/',
    'https://127.0.0.1:65536/',
    'https://0/',
    'https://',
    '//127.0.0.1/',
    '',
  ])('at %j', (url) => refusedAll([url]));
});

describe('a name that is rebound', () => {
  it('is resolved once, and only what was judged is connected to', async () => {
    for (let round = 0; round < 200; round++) {
      let asked = 0;
      const good = oneOf(PUBLIC);
      const post = poster(new Set(), async () => {
        asked += 1;
        return [found(asked === 1 ? good : '127.0.0.1')];
      });
      const outgoing = { url: 'https://rebind.example/', headers: {}, body: '' };
      await expect(post(outgoing)).rejects.toThrow(NotSent);
      expect([asked, connected]).toEqual([1, [good]]);
      connected = [];
    }
  });

  it('and without an address nothing is', async () => {
    const post = poster(new Set(), async () => []);
    await expect(post({ url: 'https://a.example/', headers: {}, body: '' })).rejects.toThrow();
    expect(connected).toEqual([]);
  });
});

describe('a redirect', () => {
  let server: FakeServer;
  let asked = 0;
  beforeAll(async () => {
    vi.restoreAllMocks(); // here the stand-in is really asked
    server = await serveFake(({ path }) => {
      asked += 1;
      const [, status = '', location = ''] = /^\/(\d+)\/(.*)$/.exec(path) ?? [];
      return { status: Number(status), headers: { location: decodeURIComponent(location) } };
    });
  });
  afterAll(() => server?.close());

  it.each([301, 302, 303, 307, 308])(
    'of status %d is an answer, and not followed',
    async (status) => {
      const post = poster(new Set([server.target]));
      for (let round = 0; round < 20; round++) {
        const before = asked;
        const to = oneOf([server.url, 'https://169.254.169.254/', `https://[${inside6()}]/`]);
        const url = `${server.url}/${status}/${encodeURIComponent(to)}`;
        const answer = await post({ url, headers: {}, body: '' });
        expect([answer.status, asked - before]).toEqual([status, 1]);
      }
    },
  );
});

it('what is public may be reached, also beside every network that is not', () => {
  const around = INSIDE_4.filter(([, prefix]) => prefix > 4 && prefix < 32).flatMap(
    ([first, prefix]) => [toNumber(first) - 1, toNumber(first) + 2 ** (32 - prefix)],
  );
  const outside = around.filter(
    (value) =>
      value >= 0 &&
      !INSIDE_4.some(
        ([first, prefix]) =>
          value >= toNumber(first) && value < toNumber(first) + 2 ** (32 - prefix),
      ),
  );
  expect(outside.length).toBeGreaterThan(20);
  expect(outside.map(dotted).filter((address) => !isPublic(address))).toEqual([]);
});
