// Headers that mirror the body: which differences are refused, and what goes upstream.

import { describe, expect, it } from 'vitest';

import type { JsonObject } from '#contracts/json.ts';

import { Fault } from '../../../../services/ingress/mcp/fault.ts';
import {
  compareHeaders,
  compareParams,
  mirroredHeaders,
} from '../../../../services/ingress/mcp/headers.ts';
import {
  type Era,
  readMessage,
  type RequestMessage,
} from '../../../../services/ingress/mcp/message.ts';

type Headers = Record<string, string>;

const VERSION = { 'mcp-protocol-version': '2026-07-28' };
const request = (method: string, params: JsonObject = {}, era: Era = '2026-07-28') => {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': era };
  const sent = era === '2026-07-28' ? { ...params, _meta } : params;
  return readMessage({ jsonrpc: '2.0', id: 1, method, params: sent }) as RequestMessage;
};
const outcomeOf = (compare: () => void): string => {
  try {
    compare();
    return 'passes';
  } catch (error) {
    if (error instanceof Fault && error.code === -32020) return 'refused';
    throw error;
  }
};

describe('the headers of a request', () => {
  const read = { ...VERSION, 'mcp-method': 'resources/read', 'mcp-name': 'file:///a' };
  it.each<[string, RequestMessage, Headers, string]>([
    ['agree', request('resources/read', { uri: 'file:///a' }), read, 'passes'],
    ['name another resource', request('resources/read', { uri: 'file:///b' }), read, 'refused'],
    ['name a resource where the body has none', request('resources/read'), read, 'refused'],
    [
      'name nothing where the body has no name',
      request('tools/call'),
      { ...VERSION, 'mcp-method': 'tools/call' },
      'passes',
    ],
    [
      'have a broken Base64 form',
      request('tools/call', { name: '=?base64?a?=' }),
      { ...VERSION, 'mcp-method': 'tools/call', 'mcp-name': '=?base64?a?=' },
      'refused',
    ],
    [
      'name a task',
      request('tasks/get', { taskId: 't' }),
      { ...VERSION, 'mcp-method': 'tasks/get', 'mcp-name': 'u' },
      'refused',
    ],
  ])('%s', (_, message, headers, expected) => {
    expect(outcomeOf(() => compareHeaders(message, headers, '2026-07-28'))).toBe(expected);
  });

  it('mean nothing in the old era', () => {
    const message = request('tools/call', { name: 'a' }, '2025-11-25');
    const headers = { 'mcp-method': 'tools/list', 'mcp-name': 'b' };
    expect(outcomeOf(() => compareHeaders(message, headers, '2025-11-25'))).toBe('passes');
  });
});

describe('the headers of parameters', () => {
  const schema = {
    type: 'object',
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      where: { type: 'object', properties: { level: { 'x-mcp-header': 'Level' } } },
    },
  };
  const base64 = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`;
  it.each<[string, JsonObject, Headers, string]>([
    ['agree', { region: 'eu' }, { 'mcp-param-region': 'eu' }, 'passes'],
    ['agree in Base64', { region: 'é' }, { 'mcp-param-region': base64('é') }, 'passes'],
    [
      'are no UTF-8 in Base64',
      { region: '\ufffd' },
      { 'mcp-param-region': '=?base64?/w==?=' },
      'refused',
    ],
    ['differ', { region: 'eu' }, { 'mcp-param-region': 'us' }, 'refused'],
    ['are left out', { region: 'eu' }, {}, 'refused'],
    ['say what the body does not', {}, { 'mcp-param-region': 'us' }, 'refused'],
    ['say what is null in the body', { region: null }, { 'mcp-param-region': 'us' }, 'refused'],
    ['are left out for what is null', { region: null }, {}, 'passes'],
    ['agree in a nested number', { where: { level: 10 } }, { 'mcp-param-level': '10.0' }, 'passes'],
    ['hide a number', { where: { level: 10 } }, { 'mcp-param-level': '0xa' }, 'refused'],
    ['agree in a boolean', { where: { level: true } }, { 'mcp-param-level': 'true' }, 'passes'],
    [
      'write a boolean otherwise',
      { where: { level: true } },
      { 'mcp-param-level': '1' },
      'refused',
    ],
    ['mirror what nobody declared', {}, { 'mcp-param-other': 'x' }, 'passes'],
  ])('%s', (_, args, headers, expected) => {
    const message = request('tools/call', { name: 'a', arguments: args });
    expect(outcomeOf(() => compareParams(message, headers, { schema, args }))).toBe(expected);
  });
});

describe('upstream go', () => {
  const headers = {
    ...VERSION,
    'mcp-method': 'm',
    'mcp-name': 'n',
    'mcp-param-region': 'eu',
    'mcp-session-id': 's',
    'last-event-id': '1',
    authorization: 'Bearer agent',
    'countersign-capability': 'c',
    cookie: 'c',
  };
  it.each<[string, RequestMessage, Era, Headers]>([
    [
      'those that were compared, of a method with a name',
      request('tools/call', { name: 'n' }),
      '2026-07-28',
      { ...VERSION, 'mcp-method': 'm', 'mcp-name': 'n', 'mcp-param-region': 'eu' },
    ],
    [
      'no name of a method without one',
      request('tools/list'),
      '2026-07-28',
      { ...VERSION, 'mcp-method': 'm', 'mcp-param-region': 'eu' },
    ],
    [
      'only the version in the old era',
      request('tools/call', {}, '2025-11-25'),
      '2025-11-25',
      VERSION,
    ],
  ])('%s', (_, message, era, expected) => {
    expect(mirroredHeaders(message, headers, era)).toEqual(expected);
  });
});
