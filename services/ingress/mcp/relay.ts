/**
 * An upstream's answer on its way to the agent: bytes as they came, but for the one message that answers the request.
 * That one is settled first (outcome recorded, lists filtered, obligations met) and then sent.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

import type { JsonObject } from '#contracts/json.ts';

import { type ServerEvent, serverEvents, withData } from './events.ts';
import { isObject, type RequestId } from './message.ts';
import type { UpstreamResponse } from './upstream.ts';

/** The upstream's message that answers a request. */
export interface Answered {
  /** As it came. */
  readonly text: string;
  readonly message: JsonObject;
  readonly status: number;
}

/** What has to happen before an answer leaves; exactly one of both is called, once. Neither may reject. */
export interface Settlement {
  /** Of the request; undefined for messages that are not answered. */
  readonly id: RequestId | undefined;
  /** The text to send instead; the same text = unchanged. */
  readonly answered: (answer: Answered) => Promise<string>;
  /** The connection ended without an answer; the text is sent in its place, '' = nothing. */
  readonly lost: (why: string) => Promise<string>;
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
  if (response.type === 'text/event-stream') await relayEvents(client, response, settlement);
  else await relayDocument(client, response, settlement);
}

async function relayDocument(
  client: Client,
  { status, type, body }: UpstreamResponse,
  settlement: Settlement,
): Promise<void> {
  const { id } = settlement;
  const text = await readAll(body).catch(() => undefined);
  const message = text === undefined || type !== 'application/json' ? undefined : parse(text);
  if (text === undefined || (id !== undefined && !answers(message, id, status))) {
    end(client, 502, await settlement.lost(`status ${status} without an answer`));
  } else if (id === undefined || message === undefined) {
    end(client, status, type === 'application/json' ? text : '');
  } else {
    end(client, status, await settlement.answered({ text, message, status }));
  }
}

async function relayEvents(
  client: Client,
  response: UpstreamResponse,
  settlement: Settlement,
): Promise<void> {
  const { id } = settlement;
  const out = openStream(client, response.status);
  let settled = id === undefined;
  let why = 'the stream ended without an answer';
  try {
    for await (const event of serverEvents(response.body, MESSAGE_BYTES_MAX)) {
      const message = settled || id === undefined ? undefined : parse(event.data);
      if (message === undefined || id === undefined || !answers(message, id, 200)) {
        await out.write(event.raw);
        continue;
      }
      settled = true;
      const text = await settlement.answered({
        text: event.data,
        message,
        status: response.status,
      });
      await out.write(changed(event, text));
    }
  } catch (error) {
    why = error instanceof Error ? `the stream broke: ${error.name}` : why;
  }
  if (!settled) {
    const text = await settlement.lost(why);
    if (text !== '') await out.write(Buffer.from(`data: ${text}\n\n`));
  }
  out.end();
}

const changed = (event: ServerEvent, text: string): Buffer =>
  text === event.data ? event.raw : withData(event, text);

/** An open event stream to the agent. Writes to an agent that is gone go nowhere. */
export function openStream(
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

/** An error of the transport itself (400, 404) may have no id. */
function answers(message: JsonObject | undefined, id: RequestId, status: number): boolean {
  if (message === undefined || 'method' in message) return false;
  if (!('result' in message) && !('error' in message)) return false;
  return message['id'] === id || (status >= 400 && 'error' in message);
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
