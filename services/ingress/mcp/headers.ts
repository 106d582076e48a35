/**
 * Headers that mirror the body (MCP 2026-07-28, Streamable HTTP). The body is what is judged; a header that says
 * something else would let whoever routes by headers see another call, so a difference is refused.
 */
import type { IncomingHttpHeaders } from 'node:http';

import type { Json, JsonObject } from '#contracts/json.ts';

import { faultOf } from './fault.ts';
import {
  claimedVersion,
  type Era,
  isObject,
  type Message,
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
  const request = message.kind === 'request' ? message : undefined;
  const required = request !== undefined && era === '2026-07-28';
  const version = single(headers, 'mcp-protocol-version', request);
  const claimed = claimedVersion(message);
  if (claimed !== '' && (version ?? (required ? '' : claimed)) !== claimed) {
    throw mismatch('MCP-Protocol-Version', request);
  }
  if (era === '2025-11-25') return;
  const named = single(headers, 'mcp-method', request);
  if ((named ?? (required ? '' : method)) !== method) throw mismatch('Mcp-Method', request);
  const field = NAMED_BY.get(method);
  if (field === undefined) return;
  const name = params[field];
  const header = single(headers, 'mcp-name', request);
  if (header === undefined && (typeof name !== 'string' || !required)) return;
  if (typeof name === 'string' && decoded(header ?? '') !== name)
    throw mismatch('Mcp-Name', request);
  if (header !== undefined && decoded(header) === undefined) throw mismatch('Mcp-Name', request);
}

/** Compares Mcp-Param-* with the arguments, as far as the tool's schema declares them. @throws Fault -32020 */
export function compareParams(
  request: RequestMessage,
  headers: IncomingHttpHeaders,
  tool: { readonly schema: JsonObject; readonly args: JsonObject },
): void {
  for (const { header, path } of declaredIn(tool.schema)) {
    const name = PARAM_PREFIX + header.toLowerCase();
    const value = valueAt(tool.args, path);
    if (value === undefined || value === null || typeof value === 'object') continue;
    const sent = decoded(single(headers, name, request)?.trim() ?? '\0');
    if (!same(sent, value)) throw mismatch(`Mcp-Param-${header}`, request);
  }
}

/** Mirrored headers of a request as they go upstream; those of parameters that nobody declared here, too. */
export function mirroredHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const mirrored: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const goes = MIRRORED.has(name) || name.startsWith(PARAM_PREFIX);
    if (goes && typeof value === 'string') mirrored[name] = value;
  }
  return mirrored;
}

const MIRRORED = new Set(['mcp-protocol-version', 'mcp-method', 'mcp-name', 'last-event-id']);

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

function same(sent: string | undefined, value: string | number | boolean): boolean {
  if (sent === undefined) return false;
  if (typeof value === 'number') return DECIMAL.test(sent) && Number(sent) === value;
  return sent === String(value);
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

/** Node joins repeated headers by a comma; none of ours that decide anything has one inside. */
function single(
  headers: IncomingHttpHeaders,
  name: string,
  request: RequestMessage | undefined,
): string | undefined {
  const value = headers[name];
  if (Array.isArray(value)) throw mismatch(name, request);
  return value;
}

const mismatch = (header: string, request: RequestMessage | undefined) =>
  faultOf('request.header_mismatch', { detail: `See ${header}.`, id: request?.id ?? null });
