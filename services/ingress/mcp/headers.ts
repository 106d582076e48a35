/**
 * Headers that mirror the body (MCP 2026-07-28, Streamable HTTP). The body is what is judged; a header that says
 * something else would let whoever routes by headers see another call, so a difference is refused.
 */
import type { IncomingHttpHeaders } from 'node:http';

import type { Json, JsonObject } from '#contracts/json.ts';

import { type Fault, faultOf } from './fault.ts';
import {
  claimedVersion,
  type Era,
  isObject,
  type Message,
  type RequestId,
  type RequestMessage,
} from './message.ts';

/** The parameter that Mcp-Name mirrors, by method. */
const NAMED_BY: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['tasks/get', 'taskId'],
  ['tasks/update', 'taskId'],
  ['tasks/cancel', 'taskId'],
]);
const PARAM_PREFIX = 'mcp-param-';
const BASE64_FORM =
  /^=\?base64\?((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)\?=$/;
const DECIMAL = /^-?\d+(\.\d+)?$/;

/** Compares version, method and name. @throws Fault -32020 */
export function compareHeaders(message: Message, headers: IncomingHttpHeaders, era: Era): void {
  if (message.kind === 'response') return;
  const { method, params } = message;
  const id = message.kind === 'request' ? message.id : null;
  const required = message.kind === 'request' && era === '2026-07-28';
  const compare = (
    name: string,
    value: string,
    read: (sent: string) => string | undefined = asIs,
  ) => {
    const sent = headers[name];
    if (sent === undefined && !required) return;
    if (typeof sent !== 'string' || read(sent) !== value) throw mismatch(name, id);
  };
  const claimed = claimedVersion(message);
  if (claimed !== '') compare('mcp-protocol-version', claimed);
  if (era === '2025-11-25') return;
  compare('mcp-method', method);
  const field = NAMED_BY.get(method);
  if (field === undefined) return;
  const name = params[field];
  if (typeof name === 'string') compare('mcp-name', name, decoded);
  else if (headers['mcp-name'] !== undefined) throw mismatch('mcp-name', id);
}

const asIs = (value: string): string => value;

/** Compares Mcp-Param-* with the arguments, as far as the tool's schema declares them. @throws Fault -32020 */
export function compareParams(
  request: RequestMessage,
  headers: IncomingHttpHeaders,
  tool: { readonly schema: JsonObject; readonly args: JsonObject },
): void {
  for (const { header, path } of declaredIn(tool.schema)) {
    const name = PARAM_PREFIX + header.toLowerCase();
    const value = valueAt(tool.args, path);
    const sent = headers[name];
    const absent = value === undefined || value === null || typeof value === 'object';
    const agrees = absent ? sent === undefined : typeof sent === 'string' && same(sent, value);
    if (!agrees) throw mismatch(`Mcp-Param-${header}`, request.id);
  }
}

/**
 * Mirrored headers of a request as they go upstream: what was compared above, and those of parameters that nobody
 * declared here. In the old era only the version means anything; the rest would tell of another call than was judged.
 */
export function mirroredHeaders(
  message: Message,
  headers: IncomingHttpHeaders,
  era: Era,
): Record<string, string> {
  const mirrored: Record<string, string> = {};
  const modern = era === '2026-07-28';
  const named = modern && message.kind !== 'response' && NAMED_BY.has(message.method);
  const goes = (name: string): boolean =>
    name === 'mcp-protocol-version' ||
    (modern && (name === 'mcp-method' || name.startsWith(PARAM_PREFIX))) ||
    (named && name === 'mcp-name');
  for (const [name, value] of Object.entries(headers)) {
    if (goes(name) && typeof value === 'string') mirrored[name] = value;
  }
  return mirrored;
}

/** The mirrored headers of a tool call that no request brought: as a client would make them. */
export function headersOfCall(
  name: string,
  tool: { readonly schema: JsonObject | undefined; readonly args: JsonObject },
): Record<string, string> {
  const headers: Record<string, string> = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': encoded(name),
  };
  for (const { header, path } of declaredIn(tool.schema ?? {})) {
    const value = valueAt(tool.args, path);
    if (value === undefined || value === null || typeof value === 'object') continue;
    headers[PARAM_PREFIX + header.toLowerCase()] = encoded(String(value));
  }
  return headers;
}

const PLAIN = /^[!-~]([ -~]*[!-~])?$/;

/** A value as a header carries it: in its Base64 form where it is no plain text, or looks like that form. */
function encoded(value: string): string {
  if (PLAIN.test(value) && !value.startsWith('=?base64?')) return value;
  return `=?base64?${Buffer.from(value).toString('base64')}?=`;
}

function declaredIn(
  schema: JsonObject,
  path: readonly string[] = [],
): { readonly header: string; readonly path: readonly string[] }[] {
  const { properties } = schema;
  if (!isObject(properties)) return [];
  return Object.entries(properties).flatMap(([name, part]) => {
    if (!isObject(part)) return [];
    const at = [...path, name];
    const header = part['x-mcp-header'];
    return [...(typeof header === 'string' ? [{ header, path: at }] : []), ...declaredIn(part, at)];
  });
}

function valueAt(args: JsonObject, path: readonly string[]): Json | undefined {
  let value: Json | undefined = args;
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

function same(sent: string, value: string | number | boolean): boolean {
  const read = decoded(sent);
  if (typeof value !== 'number' || read === undefined) return read === String(value);
  return DECIMAL.test(read) && Number(read) === value;
}

/** A header's value with its Base64 form undone; undefined when that form is broken. */
function decoded(value: string): string | undefined {
  if (!value.startsWith('=?base64?') || !value.endsWith('?=')) return value;
  const base64 = BASE64_FORM.exec(value)?.[1];
  if (base64 === undefined) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}

const mismatch = (header: string, id: RequestId | null): Fault =>
  faultOf('request.header_mismatch', { detail: `See ${header}.`, id });
