/**
 * An upstream's answer on its way to the agent: bytes as they came, but for the one message that answers the request.
 * That one is settled first (outcome recorded, lists filtered, obligations met) and then sent. Answers to anything
 * else do not get through: nobody would have settled them.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

import type { JsonObject } from '#contracts/json.ts';

import { rewritten, type ServerEvent, serverEvents } from './events.ts';
import { isObject, type RequestId } from './message.ts';
import type { UpstreamResponse } from './upstream.ts';

/** The upstream's message that answers a request. */
export interface Answered {
  /** As it came. */
  readonly text: string;
  readonly message: JsonObject;
  readonly status: number;
}

/** What has to happen before an answer leaves; one of both is called. Neither may reject. */
export interface Settlement {
  /** Of the request; undefined for messages that are not answered. */
  readonly id: RequestId | undefined;
  /** The agent reads no streams: it gets the answer alone, as one document with status 200. */
  readonly whole?: boolean;
  /** The text to send instead; the same text = unchanged. Called again when the same answer is replayed. */
  readonly answered: (answer: Answered) => Promise<string>;
  /** No answer came and none will; the text is sent in its place, '' = nothing. */
  readonly lost: (why: string) => Promise<string>;
  /** No answer came, but the agent can take the stream up again: it holds the id of an event. False = it shall not. */
  readonly paused?: () => boolean;
  /** Id of an event as the agent gets it; '' = none. */
  readonly eventId: (id: string) => string;
}

/** The agent's side of an exchange. */
export interface Client {
  readonly raw: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
}

export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE = ': keep-alive\n\n';

/** Relays an answer to its end. */
export async function relay(
  client: Client,
  response: UpstreamResponse,
  settlement: Settlement,
): Promise<void> {
  if (settlement.whole === true) await relayWhole(client, response, settlement);
  else if (response.type === 'text/event-stream') await relayEvents(client, response, settlement);
  else await relayDocument(client, response, settlement);
}

async function relayDocument(
  client: Client,
  { status, type, body }: UpstreamResponse,
  { id, answered, lost }: Settlement,
): Promise<void> {
  const text = await readAll(body).catch(() => undefined);
  const message = text === undefined || type !== 'application/json' ? undefined : parse(text);
  if (text !== undefined && message !== undefined && isAnswer(message, id, status)) {
    end(client, status, await answered({ text, message, status }));
  } else if (id === undefined && text !== undefined) end(client, status, '');
  else {
    const said = await lost(`status ${status} without an answer`);
    end(client, status >= 400 && status < 500 ? status : 502, said);
  }
}

async function relayWhole(
  client: Client,
  response: UpstreamResponse,
  { id, answered, lost }: Settlement,
): Promise<void> {
  const answer = await answerIn(response, id).catch(() => undefined);
  const text =
    answer === undefined
      ? await lost(`status ${response.status} without an answer`)
      : await answered(answer);
  end(client, text === '' ? 204 : 200, text);
}

/** The answer to a request, whether it comes alone or in a stream. */
async function answerIn(
  { status, type, body }: UpstreamResponse,
  id: RequestId | undefined,
): Promise<Answered | undefined> {
  const answerOf = (text: string): Answered | undefined => {
    const message = parse(text);
    return message !== undefined && isAnswer(message, id, status)
      ? { text, message, status }
      : undefined;
  };
  if (type === 'application/json') return answerOf(await readAll(body));
  for await (const { data } of serverEvents(body, MESSAGE_BYTES_MAX)) {
    const answer = answerOf(data);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

async function relayEvents(
  client: Client,
  { status, body }: UpstreamResponse,
  settlement: Settlement,
): Promise<void> {
  const out = openStream(client, status);
  const seen = { answered: settlement.id === undefined, resumable: false };
  let why = 'the stream ended without an answer';
  try {
    for await (const event of serverEvents(body, MESSAGE_BYTES_MAX)) {
      const id = event.id === undefined ? '' : settlement.eventId(event.id);
      seen.resumable ||= id !== '';
      const data = await passing(event, status, settlement, seen);
      if (data !== undefined) await out.write(changed(event, { data, id }));
    }
  } catch (error) {
    why = `the stream broke: ${error instanceof Error ? error.name : ''}`;
  }
  const waits = !seen.answered && seen.resumable && settlement.paused?.() === true;
  if (!seen.answered && !waits) {
    const text = await settlement.lost(why);
    if (text !== '') await out.write(Buffer.from(`data: ${text}\n\n`));
  }
  out.end();
}

/** The data of an event that gets through; undefined for what does not. */
async function passing(
  { data }: ServerEvent,
  status: number,
  { id, answered }: Settlement,
  seen: { answered: boolean },
): Promise<string | undefined> {
  if (data === '') return data;
  const message = parse(data);
  if (message === undefined) return undefined;
  if ('method' in message) return data;
  if (seen.answered || !isAnswer(message, id, status)) return undefined;
  seen.answered = true;
  return answered({ text: data, message, status });
}

const changed = (event: ServerEvent, to: { readonly data: string; readonly id: string }): Buffer =>
  to.data === event.data && to.id === (event.id ?? '') ? event.raw : rewritten(event, to);

/** An open event stream to the agent. Writes to an agent that is gone go nowhere. */
function openStream(
  { raw, headers }: Client,
  status: number,
): { readonly write: (bytes: Buffer) => Promise<void>; readonly end: () => void } {
  raw.writeHead(status, {
    ...headers,
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-store',
    'x-accel-buffering': 'no',
  });
  raw.flushHeaders();
  const timer = setInterval(() => raw.write(KEEP_ALIVE), KEEP_ALIVE_MS);
  raw.once('close', () => clearInterval(timer));
  return {
    write: async (bytes) => {
      if (raw.destroyed || raw.write(bytes)) return;
      await Promise.race([once(raw, 'drain'), once(raw, 'close')]).catch(() => undefined);
    },
    end: () => {
      clearInterval(timer);
      raw.end();
    },
  };
}

/** Sends a JSON text (or nothing) as the whole answer. */
export function end({ raw, headers }: Client, status: number, text: string): void {
  const type: Record<string, string> =
    text === '' ? {} : { 'content-type': 'application/json; charset=utf-8' };
  const length = String(Buffer.byteLength(text));
  raw.writeHead(status, { ...headers, ...type, 'content-length': length });
  raw.end(text);
}

/** The text of an answer with another result; unchanged where nothing is changed, and for errors. */
export function changedResult(
  { text, message }: Answered,
  change: (result: JsonObject) => JsonObject,
): string {
  const { result } = message;
  if (!isObject(result)) return text;
  const changed = change(result);
  return changed === result ? text : JSON.stringify({ ...message, result: changed });
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > MESSAGE_BYTES_MAX) throw new RangeError('answer too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The upstream's own JSON: read to find the answer in it, never forwarded as ours. */
function parse(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The answer to this request. An error of the transport itself (400, 404) may have no id. */
function isAnswer(message: JsonObject, id: RequestId | undefined, status: number): boolean {
  if ('method' in message || !('result' in message || 'error' in message)) return false;
  if (id !== undefined && message['id'] === id) return true;
  return status >= 400 && 'error' in message;
}
