/** Server-sent events one by one, with the very bytes that they came in. */

export interface ServerEvent {
  /** Bytes of the event with the blank line that ends it. */
  readonly raw: Buffer;
  /** Its data lines, joined; '' for comments and events without data. */
  readonly data: string;
  /** As its stream's server names it; undefined for most. */
  readonly id: string | undefined;
}

/** An event is larger than what may be kept of it. */
export class EventTooLarge extends Error {}

const BLANK_LINE = /(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))/;
/** A byte order mark. */
const MARK = '\u00ef\u00bb\u00bf';
const LINE = /\r\n|\n|\r/;

/** The events of a body in order; what comes after the last blank line is no event. @throws EventTooLarge */
export async function* serverEvents(
  body: AsyncIterable<Uint8Array>,
  bytesMax: number,
): AsyncGenerator<ServerEvent> {
  // latin1 keeps each byte as one character, so that nothing is changed by reading it.
  let text = '';
  let searched = 0;
  let started = false;
  for await (const chunk of body) {
    text += Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
    if (!started && text.length >= MARK.length) {
      // Clients drop the mark; kept, it would hide the first line from us alone.
      if (text.startsWith(MARK)) text = text.slice(MARK.length);
      started = true;
    }
    for (;;) {
      const from = Math.max(0, searched - 3);
      const end = BLANK_LINE.exec(text.slice(from));
      if (end === null) break;
      const at = from + end.index + end[0].length;
      yield eventOf(text.slice(0, at));
      text = text.slice(at);
      searched = 0;
    }
    searched = text.length;
    if (text.length > bytesMax) throw new EventTooLarge();
  }
}

function eventOf(text: string): ServerEvent {
  const lines = text.split(LINE);
  const data = valuesOf(lines, 'data').join('\n');
  return {
    raw: Buffer.from(text, 'latin1'),
    data: Buffer.from(data, 'latin1').toString('utf8'),
    id: valuesOf(lines, 'id').at(-1),
  };
}

const valuesOf = (lines: readonly string[], field: string): string[] =>
  lines
    .filter((line) => line.startsWith(`${field}:`))
    .map((line) => line.slice(field.length + (line[field.length + 1] === ' ' ? 2 : 1)));

/** Bytes of an event with other data and another id ('' = none); other fields (event, retry) stay as they came. */
export function rewritten(
  { raw }: ServerEvent,
  { data, id }: { readonly data: string; readonly id: string },
): Buffer {
  const kept = raw
    .toString('latin1')
    .split(LINE)
    .filter((line) => line !== '' && !/^(?:data|id)(?::|$)/.test(line));
  const head = [...(id === '' ? [] : [`id: ${id}`]), ...kept].map((line) => `${line}\n`).join('');
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(`data: ${data}\n\n`)]);
}
