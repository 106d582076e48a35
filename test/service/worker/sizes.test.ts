// Calls at the limits of size, many at once: each gets its own answer, and none costs another one its own.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ARGUMENTS_BYTES_MAX, TOKEN_CHARS_MAX, type WorkerAnswer } from '#contracts/call.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { canonical } from '#contracts/json.ts';
import { decodeRecords } from '#contracts/record.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
  const texts = Array.from({ length: 11 }, (_, n) => `${n}`.padEnd(1_000, 'x'));
  const long: Caveat = { t: 'tool_deny', tools: texts };
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }, long]);
  expect(capability.length).toBeLessThan(TOKEN_CHARS_MAX);
});
afterAll(() => world.close());

const told = (answer: WorkerAnswer) =>
  answer.kind === 'decided'
    ? `${answer.body.verdict} ${answer.body.reason.code}`
    : answer.kind === 'refused'
      ? `refused ${answer.code}`
      : answer.kind;

/** Arguments of exactly that many bytes. */
function argumentsOf(bytes: number, character: string) {
  const empty = canonical({ text: '' }).length;
  const room = bytes - empty;
  const each = Buffer.byteLength(JSON.stringify(character)) - 2;
  const text = character.repeat(Math.floor(room / each));
  return { text: text + 'x'.repeat(room - Math.floor(room / each) * each) };
}

describe('twelve calls of one turn with the largest arguments and a long capability', () => {
  it.each([
    ['plain', 'a'],
    ['of three bytes a character', '話'],
    ['that are escaped', '\u0001'],
  ])('%s are all judged', async (_, character) => {
    const args = argumentsOf(ARGUMENTS_BYTES_MAX, character);
    expect(Buffer.byteLength(canonical(args))).toBe(ARGUMENTS_BYTES_MAX);
    const asked = Array.from({ length: 12 }, () =>
      world.ask({ capability, args, deadlineMs: 10_000 }),
    );
    const answers = (await Promise.all(asked)).map(told);
    expect([...new Set(answers)]).toEqual(['allow policy.allowed']);
  });
});

it('64 calls of one turn with the longest purposes are all judged', async () => {
  const names = (first: string) =>
    Array.from({ length: 256 }, (_, n) => `${first}${n}`.padEnd(128, '-'));
  const intent = { purpose: '\u0001'.repeat(2_000), forbidden_tools: names('f') };
  const asked = Array.from({ length: 64 }, () =>
    world.ask({ capability, intent, deadlineMs: 10_000 }),
  );
  const answers = (await Promise.all(asked)).map(told);
  expect([...new Set(answers)]).toEqual(['allow policy.allowed']);
});

it('a refusal with a long reason for the operator is recorded like any other', async () => {
  await world.put(CONTROL_KEYS.tool(world.tenant, 'shop', 'numbers'), {
    name: 'numbers',
    upstream: 'shop',
    input_schema: { additionalProperties: { type: 'number' } },
  });
  const args = { ['~'.repeat(260_000)]: 'text' };
  await expect
    .poll(async () => told(await world.ask({ capability, tool: 'numbers', args })))
    .toBe('block tool.arguments');
  const answer = await world.ask({ capability, tool: 'numbers', args });
  if (answer.kind !== 'decided') throw new Error(told(answer));
  const { sequence, index } = answer.position;
  const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq: sequence });
  const payload = decodeRecords(message?.string() ?? '')[index]?.payload ?? '';
  expect(JSON.parse(payload).sections.evidence.detail.length).toBeLessThan(10_000);
});
