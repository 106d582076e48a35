// The policy file: what C2SP tlog-policy allows is read, and every fault is told with its line.
import { describe, expect, test } from 'vitest';

import {
  parseWitnessPolicy,
  POLICY_BYTES_MAX,
  quorumMet,
  WitnessPolicyError,
} from '#contracts/witness-policy.ts';

const LOG_A = 'log.example/a+1e951e02+Aa3r927ol1D5r0rOeZ1GR7SoE56Iw1QAnq/PWDderDA1';
const LOG_B = 'log.example/b+e107f480+Aaqp/ROFQAX+U7KNUwC6PtOjwjj/PKQZ7R4v4jAMx9AZ';
const W1 = 'w1.example+ed70ca96+BGbxxKk3kF76xgCaVSTBf9bWa2+G5MiM3nLXtEy2epzj';
const W2 = 'w2.example+a4d67b25+BKYDIisf7zfAKc2Flz+xOrebv5ODKd0K9JrFcx2WLfZl';
const W3 = 'w3.example+8cae58f1+BIjx3+9gOSaOBUAsgmCrj1qqyLrAYLwmqAMfP52hQSgH';

const FULL = `# two logs, three witnesses
log ${LOG_A} https://log.example/a
\tlog ${LOG_B}

witness one ${W1} https://w1.example/#fragment
witness two  ${W2}
  witness drei\u00df ${W3}
   # a comment
group pair any two drei\u00df
group all-of-them all one pair
quorum all-of-them
`;

test('logs, witnesses, groups and the quorum', () => {
  const { logs, witnesses, quorum } = parseWitnessPolicy(FULL);
  expect(logs.map(({ key, url }) => [key.name, url])).toEqual([
    ['log.example/a', 'https://log.example/a'],
    ['log.example/b', ''],
  ]);
  expect(witnesses.map(({ name, key, url }) => [name, key.name, url])).toEqual([
    ['one', 'w1.example', 'https://w1.example/#fragment'],
    ['two', 'w2.example', ''],
    ['drei\u00df', 'w3.example', ''],
  ]);
  const pair = { atLeast: 1, of: [{ witness: 'two' }, { witness: 'drei\u00df' }] };
  expect(quorum).toEqual({ atLeast: 2, of: [{ witness: 'one' }, pair] });
});

test.each([
  ['nobody', [], false],
  ['one of two groups', ['one'], false],
  ['only the pair', ['two', 'drei\u00df'], false],
  ['both groups', ['one', 'drei\u00df'], true],
  ['everybody', ['one', 'two', 'drei\u00df'], true],
])('the quorum: %s', (_, cosigners, met) => {
  const { quorum } = parseWitnessPolicy(FULL);
  expect(quorumMet(quorum, (name) => cosigners.includes(name))).toBe(met);
});

test('"quorum none" asks for nobody', () => {
  const { quorum } = parseWitnessPolicy('quorum none');
  expect(quorumMet(quorum, () => false)).toBe(true);
});

test('a threshold', () => {
  const policy = `witness a ${W1}\nwitness b ${W2}\nwitness c ${W3}\ngroup g 2 a b c\nquorum g\n`;
  expect(parseWitnessPolicy(policy).quorum).toEqual({
    atLeast: 2,
    of: [{ witness: 'a' }, { witness: 'b' }, { witness: 'c' }],
  });
});

test('octets that are no UTF-8 keep apart', () => {
  const line = (octet: number) => [
    Buffer.from('witness '),
    Buffer.of(octet),
    Buffer.from(` ${octet === 0xe4 ? W1 : W2}\n`),
  ];
  const file = Buffer.concat([...line(0xe4), ...line(0xe5), Buffer.from('quorum none\n')]);
  expect(parseWitnessPolicy(file).witnesses).toHaveLength(2);
});

describe('faults', () => {
  const two = `witness a ${W1}\nwitness b ${W2}\n`;
  test.each([
    ['no quorum', two, 3],
    ['two quorums', `quorum none\nquorum none`, 2],
    ['a quorum of nobody known', `${two}quorum c`, 3],
    ['a quorum that is defined later', `quorum a\n${two}`, 1],
    ['a quorum of two names', `${two}quorum a b`, 3],
    ['an unknown keyword', `${two}threshold 1\nquorum a`, 3],
    ['a comment behind a line', `${two}quorum a # enough`, 3],
    ['a key that is none', `witness a w1.example+00000000+AAAA\nquorum a`, 1],
    ['a key with another hash', `witness a ${W1.replace('ed70ca96', 'ed70ca97')}\nquorum a`, 1],
    ['the key of a log for a witness', `witness a ${LOG_A}\nquorum a`, 1],
    ['the key of a witness for a log', `log ${W1}\nquorum none`, 1],
    ['one name twice', `witness a ${W1}\nwitness a ${W2}\nquorum a`, 2],
    ['one key twice', `witness a ${W1}\nwitness b ${W1}\nquorum a`, 2],
    ['one log twice', `log ${LOG_A}\nlog ${LOG_A}\nquorum none`, 2],
    ['a witness named none', `witness none ${W1}\nquorum none`, 1],
    ['a group named none', `${two}group none all a b\nquorum none`, 3],
    ['a group with the name of a witness', `${two}group a all a b\nquorum a`, 3],
    ['a group without members', `${two}group g all\nquorum g`, 3],
    ['a group of nobody known', `${two}group g all a c\nquorum g`, 3],
    ['a group with none', `${two}group g all a none\nquorum g`, 3],
    ['a group of itself', `${two}group g all a g\nquorum g`, 3],
    ['a member twice', `${two}group g 1 a a\nquorum g`, 3],
    ['a member of two groups', `${two}group g all a b\ngroup h any a\nquorum h`, 4],
    ['a threshold of 0', `${two}group g 0 a b\nquorum g`, 3],
    ['a threshold above the members', `${two}group g 3 a b\nquorum g`, 3],
    ['a threshold with a leading zero', `${two}group g 01 a b\nquorum g`, 3],
    ['a carriage return', `${two}quorum a\r\n`, 3],
    ['NUL', `${two}\0\nquorum a`, 3],
    ['a file without end', '#'.repeat(POLICY_BYTES_MAX + 1), 1],
  ])('%s', (_, text, line) => {
    const fault = (() => {
      try {
        return parseWitnessPolicy(text);
      } catch (error) {
        return error;
      }
    })();
    expect(fault).toBeInstanceOf(WitnessPolicyError);
    expect(fault).toHaveProperty('line', line);
  });
});
