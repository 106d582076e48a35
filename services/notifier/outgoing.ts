/**
 * The only way out of this process: one POST to a public https address. The name is resolved once, every address is
 * judged, and the connection goes to one of those judged; redirects are answers like any other.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP } from 'node:net';

export interface Outgoing {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Answered {
  readonly status: number;
  /** Seconds or a date, as it came; '' for none. */
  readonly retryAfter: string;
  /** At most ANSWER_BYTES_MAX bytes. */
  readonly text: string;
}

/** The target must not be reached; nothing was sent. */
export class TargetRefused extends Error {}
/** Nothing reached the other side. */
export class NotSent extends Error {}
/** It may have arrived. */
export class Unsure extends Error {}

export type Resolve = (host: string) => Promise<readonly { address: string; family: number }[]>;
export type Post = (outgoing: Outgoing) => Promise<Answered>;

const ANSWER_BYTES_MAX = 64 * 1024;
const ANSWER_MS_MAX = 10_000;

/** Special-purpose addresses (IANA registries of RFC 6890): none of them is a vendor's. */
const FORBIDDEN_4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];
/** Of IPv6 only global unicast is public, and of that not what carries or embeds other addresses. */
const FORBIDDEN_6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
];

const forbidden = new BlockList();
for (const [net, prefix] of FORBIDDEN_4) forbidden.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of FORBIDDEN_6) forbidden.addSubnet(net, prefix, 'ipv6');
const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');

/** Whether an address is a public one. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !forbidden.check(address, 'ipv4');
  return family === 6 && globalUnicast.check(address, 'ipv6') && !forbidden.check(address, 'ipv6');
}

/** @param allowed `host:port` of targets that may be anything @param resolve every address of a name */
export function poster(
  allowed: ReadonlySet<string>,
  resolve: Resolve = (host) => systemLookup(host, { all: true }),
): Post {
  return async (outgoing) => {
    const { url, free } = targetOf(outgoing.url, allowed);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const found =
      isIP(host) === 0
        ? await resolve(host).catch((cause: unknown) => {
            throw new NotSent(`${host} cannot be resolved`, { cause });
          })
        : [{ address: host, family: isIP(host) }];
    // One forbidden address among them is enough: which of them answers next time is not ours to say.
    if (!free && !found.every(({ address }) => isPublic(address)))
      throw new TargetRefused(`${host} is not a public address`);
    const [pinned] = found;
    if (pinned === undefined) throw new NotSent(`${host} has no address`);
    return post(url, pinned, outgoing);
  };
}

function targetOf(text: string, allowed: ReadonlySet<string>) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username !== '' || url.password !== '')
    throw new TargetRefused('not a plain address');
  const free = allowed.has(`${url.hostname}:${url.port === '' ? 443 : url.port}`);
  if (url.protocol !== 'https:' && !(free && url.protocol === 'http:'))
    throw new TargetRefused('only https');
  return { url, free };
}

function post(
  url: URL,
  pinned: { readonly address: string; readonly family: number },
  { headers, body }: Outgoing,
): Promise<Answered> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    let connected = false;
    const sent = request(
      url,
      {
        method: 'POST',
        agent: false,
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
        // Called by the connection in place of a second resolution.
        lookup: (_host, { all }, done) => {
          if (all === true) done(null, [pinned]);
          else done(null, pinned.address, pinned.family);
        },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= ANSWER_BYTES_MAX) chunks.push(chunk);
          else answer.destroy();
        });
        answer.on('error', () => undefined);
        answer.on('close', () =>
          resolve({
            status: answer.statusCode ?? 0,
            retryAfter: answer.headers['retry-after'] ?? '',
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    sent.on('socket', (socket) =>
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
      }),
    );
    sent.on('error', (cause) => reject(new (connected ? Unsure : NotSent)('no answer', { cause })));
    sent.end(body);
  });
}
