// Server-sent events: what we see of a stream is what a client would see of it, however it is cut into chunks.

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { EventTooLarge, rewritten, serverEvents } from '../../../../services/ingress/mcp/events.ts';

const LIMIT = 1_000;

async function* chunks(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part;
}

async function read(...parts: readonly (string | Uint8Array)[]) {
  const events = [];
  for await (const { raw, data, id } of serverEvents(chunks(...parts), LIMIT)) {
    events.push({ raw: raw.toString(), data, id });
  }
  return events;
}
const seen = async (...parts: readonly string[]) =>
  (await read(...parts)).map(({ data, id }) => (id === undefined ? data : [data, id]));

describe('a stream of events', () => {
  it.each<[string, readonly string[], unknown]>([
    ['lines that end with LF', ['data: a\n\ndata: b\n\n'], ['a', 'b']],
    ['lines that end with CR LF', ['data: a\r\n\r\ndata: b\r\n\r\n'], ['a', 'b']],
    ['lines that end with CR', ['data: a\r\rdata: b\r\r'], ['a', 'b']],
    ['ends of lines cut in two', ['data: a\r', '\n\r', '\ndata: b\n', '\n'], ['a', 'b']],
    ['data of several lines', ['data: a\ndata: b\ndata:c\n\n'], ['a\nb\nc']],
    ['no blank, one blank, two blanks', ['data:a\ndata: b\ndata:  c\n\n'], ['a\nb\n c']],
    ['an id', ['id: 7\nevent: message\ndata: a\n\n'], [['a', '7']]],
    ['an id that is empty', ['id:\ndata: a\n\n'], [['a', '']]],
    ['the last of several ids', ['id: 7\nid: 8\ndata: a\n\n'], [['a', '8']]],
    ['a comment', [': keep-alive\n\n'], ['']],
    ['fields that only look like data', ['data : a\ndatum: b\n data: c\n\n'], ['']],
    ['a mark of byte order, which hides nothing', ['\ufeffdata: a\n\n'], ['a']],
    ['a mark later, which is no mark', ['data: a\n\n\ufeffdata: b\n\n'], ['a', '']],
    ['an event that did not end', ['data: a\n\ndata: b\n'], ['a']],
    ['nothing', [''], []],
  ])('has %s', async (_, parts, expected) => {
    expect(await seen(...parts)).toEqual(expected);
  });

  it('is the same in whatever chunks it comes, byte by byte', async () => {
    const line = fc.constantFrom('data: {"é":1}', 'data:', 'id: 1', ': x', 'event: e', 'retry: 5');
    const end = fc.constantFrom('\n', '\r\n');
    const event = fc
      .tuple(fc.array(line, { minLength: 1, maxLength: 4 }), end)
      .map(([lines, by]) => lines.map((text) => text + by).join('') + by);
    const stream = fc.array(event, { maxLength: 5 }).map((events) => events.join(''));
    await fc.assert(
      fc.asyncProperty(stream, fc.array(fc.nat(200)), async (text, cuts) => {
        const bytes = Buffer.from(text);
        const places = [0, ...cuts.filter((at) => at < bytes.length).toSorted((a, b) => a - b)];
        const parts = places.map((at, n) => bytes.subarray(at, places[n + 1] ?? bytes.length));
        const whole = await read(bytes);
        const cut = await read(...parts);
        expect(cut.map(({ data, id }) => [data, id])).toEqual(
          whole.map(({ data, id }) => [data, id]),
        );
        // Of an end of line that is cut in two, the last half may be missing at the very end.
        expect(
          cut
            .map(({ raw }) => raw)
            .join('')
            .trimEnd(),
        ).toBe(text.trimEnd());
      }),
    );
  });

  it('with an event above the limit is given up', async () => {
    await expect(read(`data: ${'a'.repeat(LIMIT)}`)).rejects.toThrow(EventTooLarge);
  });
});

describe('a rewritten event', () => {
  it.each([
    [
      'has other data',
      'event: message\nretry: 3\ndata: a\ndata: b\n\n',
      'event: message\nretry: 3\ndata: new\n\n',
    ],
    ['has another id', 'id: 7\ndata: a\n\n', 'id: sealed\ndata: new\n\n'],
    [
      'has none of the old ids',
      'id: 7\r\nid\r\ndata: a\r\nid: 8\r\n\r\n',
      'id: sealed\ndata: new\n\n',
    ],
  ])('%s', async (_, text, expected) => {
    const { value: event } = await serverEvents(chunks(text), LIMIT).next();
    const id = text.includes('id') ? 'sealed' : '';
    expect(rewritten(event, { data: 'new', id }).toString()).toBe(expected);
  });
});
