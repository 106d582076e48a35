/** Builtins over addresses and networks, as Go's net package reads them. */
import { isIPv4, isIPv6 } from 'node:net';

import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { list, text } from './operands.ts';
import { isList, type Rego, RegoObject, RegoSet } from './values.ts';

export const NET_BUILTINS = {
  'net.cidr_contains': ([network, inner]) => contains(text(network), text(inner)),
  'net.cidr_contains_matches': ([networks, inner]) => {
    const [left, right] = [named(networks), named(inner)];
    const pairs = left.flatMap(([outer, at]) =>
      right.filter(([one]) => contains(outer, one)).map(([, index]) => [at, index]),
    );
    return new RegoSet(pairs);
  },
  'net.cidr_expand': ([network]) => new RegoSet(expand(networkOf(text(network)))),
  'net.cidr_intersects': ([left, right]) => {
    const [a, b] = [networkOf(text(left)), networkOf(text(right))];
    return holdsAddress(a, b) || holdsAddress(b, a);
  },
  'net.cidr_is_valid': ([network]) =>
    typeof network === 'string' && readNetwork(network) !== undefined,
} as const satisfies Record<string, Builtin>;

/** An address: 4 or 16 bytes as one number. An IPv4 address written as IPv6 is an IPv4 address. */
interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}
interface Network extends Address {
  readonly prefix: number;
}

const MAPPED = 0xffffn << 32n;

/** Dotted without leading zeros, or IPv6 without a zone. */
function readAddress(written: string): Address | undefined {
  if (isIPv4(written)) {
    return {
      bits: 32,
      value: written.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n),
    };
  }
  if (!isIPv6(written) || written.includes('%')) return undefined;
  const value = valueOf6(written);
  return value >> 32n === 0xffffn ? { bits: 32, value: value - MAPPED } : { bits: 128, value };
}

function valueOf6(written: string): bigint {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(written);
  const hex = (high = '0', low = '0') => ((Number(high) << 8) | Number(low)).toString(16);
  const plain =
    dotted === null
      ? written
      : `${dotted[1] ?? ''}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [head = '', tail] = plain.split('::');
  const groups = (side: string | undefined) =>
    side === undefined || side === '' ? [] : side.split(':');
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].reduce(
    (sum, group) => sum * 65_536n + BigInt(`0x${group}`),
    0n,
  );
}

function readNetwork(written: string): Network | undefined {
  const [host = '', length = '', ...more] = written.split('/');
  const address = readAddress(host);
  if (address === undefined || more.length > 0 || !/^\d{1,6}$/.test(length)) return undefined;
  // The family is that of the writing: the prefix of ::ffff:10.0.0.0/104 counts 128 bits.
  const six = host.includes(':');
  const prefix = Number(length);
  if (prefix > (six ? 128 : 32)) return undefined;
  const value = six && address.bits === 32 ? address.value + MAPPED : address.value;
  const bits = six ? 128 : 32;
  const free = BigInt(bits - prefix);
  return { bits, value: (value >> free) << free, prefix };
}

function networkOf(written: string): Network {
  const network = readNetwork(written);
  if (network === undefined) throw new NoValue('not a network in CIDR notation');
  return network;
}

/** Whether a network holds an address: families never mix, as in Go. */
function holdsAddress(network: Network, { bits, value }: Address): boolean {
  const mapped = network.bits === 128 && network.value >> 32n === 0xffffn;
  const [own, base] = mapped ? [32, network.value - MAPPED] : [network.bits, network.value];
  const inner =
    bits === 128 && value >> 32n === 0xffffn
      ? { bits: 32, value: value - MAPPED }
      : { bits, value };
  if (own !== inner.bits) return false;
  const free = BigInt(Math.max(0, network.bits - network.prefix));
  return base >> free === inner.value >> free;
}

function contains(outer: string, inner: string): boolean {
  const network = networkOf(outer);
  const address = readAddress(inner);
  if (address !== undefined) return holdsAddress(network, address);
  const other = networkOf(inner);
  const last = {
    bits: other.bits,
    value: other.value + (1n << BigInt(other.bits - other.prefix)) - 1n,
  };
  if (network.bits === 128 && other.bits === 128) {
    const free = BigInt(128 - network.prefix);
    return network.prefix <= other.prefix && network.value >> free === other.value >> free;
  }
  return holdsAddress(network, other) && holdsAddress(network, last);
}

/** Networks with what names each: index, key or the value itself. */
function named(value: Rego | undefined): readonly (readonly [string, Rego])[] {
  if (typeof value === 'string') return [[value, value]];
  if (value instanceof RegoObject) return value.entries.map(([key, one]) => [first(one), key]);
  if (value instanceof RegoSet) return value.items.map((one) => [first(one), one]);
  return list(value).map((one, at) => [first(one), BigInt(at)]);
}

const first = (value: Rego): string => text(isList(value) ? value[0] : value);

const EXPANDED_MAX = 65_536n;

function expand(network: Network): string[] {
  const count = 1n << BigInt(network.bits - network.prefix);
  if (count > EXPANDED_MAX) throw new Error(`more than ${EXPANDED_MAX} addresses`);
  return Array.from({ length: Number(count) }, (_, at) =>
    written(network, network.value + BigInt(at)),
  );
}

function written({ bits }: Network, value: bigint): string {
  const four = bits === 32 || value >> 32n === 0xffffn;
  if (four) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((value >> BigInt(112 - at * 16)) & 0xffffn).toString(16),
  );
  return compressed(groups);
}

/** RFC 5952: the longest run of zeros, the first of equals, at least two. */
function compressed(groups: readonly string[]): string {
  let [start, length] = [0, 0];
  for (let at = 0; at < groups.length; at++) {
    let end = at;
    while (groups[end] === '0') end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  if (length < 2) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}
