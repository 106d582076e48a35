// What of IntentGate's a tenant switches on: who may, what stands in the record, and whose tokens may be named.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { keyIdOf, openKey } from '#contracts/compat.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { decodeRecords } from '#contracts/record.ts';

import { type AdminWorld, startAdminWorld } from '../../support/admin.ts';

const KEY = Buffer.alloc(24, 7);
const ACME = '/v1/tenants/acme/compat';
const OTHER = '/v1/tenants/other/compat';

let world: AdminWorld;
beforeAll(async () => {
  world = await startAdminWorld();
});
afterAll(() => world?.close());

const put = (path: string, body: object) => world.call('PUT', path, body);
const code = async (answer: Promise<{ body: { error: { code: string } } }>) =>
  (await answer).body.error.code;

describe('an imported key', () => {
  it('is recorded sealed, and shown by its name only', async () => {
    const body = { key: KEY.toString('base64'), token_tenant: 'default', route: true };
    expect(await put(ACME, body)).toMatchObject({ status: 200, body: { visible: true } });
    const shown = await world.call('GET', ACME);
    expect(shown.body.value).toEqual({
      key_id: keyIdOf(KEY),
      token_tenant: 'default',
      route: true,
    });
    const control = await world.operator.bucket('control');
    const stored = (await control.get(CONTROL_KEYS.compat('acme')))?.string() ?? '';
    const stream = await world.operator.jsm.streams.info('CONTROL');
    const { last_seq: seq } = stream.state;
    const event = await world.operator.jsm.streams.getMessage('CONTROL', { seq });
    for (const text of [stored, event?.string() ?? '']) {
      expect(text).toContain('sealed_key');
      for (const form of ['base64', 'base64url', 'hex'] as const) {
        expect(text).not.toContain(KEY.toString(form));
      }
    }
    expect(decodeRecords(event?.string() ?? '')).toHaveLength(1);
    const { sealed_key: sealed } = JSON.parse(stored).value;
    expect(openKey([Buffer.alloc(32)], 'acme', sealed)).toBeUndefined();
  });

  it('is no longer there once it is deleted, and cannot be deleted twice', async () => {
    expect((await world.call('DELETE', ACME)).status).toBe(200);
    expect(await code(world.call('GET', ACME))).toBe('thing.not_found');
    expect(await code(world.call('DELETE', ACME))).toBe('thing.not_found');
  });

  it.each<[name: string, body: object, code: string]>([
    ['too short', { key: Buffer.alloc(15).toString('base64') }, 'compat.key'],
    ['no base64', { key: 'not a key!' }, 'compat.key'],
    ['with more than belongs to it', { keys: [] }, 'request.schema'],
    ['sealed by somebody', { sealed_key: 'x' }, 'request.schema'],
  ])('%s is refused', async (_, body, expected) => {
    expect(await code(put(ACME, body))).toBe(expected);
  });

  it('is put by an admin', async () => {
    const answer = await world.call('PUT', ACME, { route: true }, { as: 'olga' });
    expect(answer.body.error.code).toBe('operator.role');
  });
});

describe('the tenant that tokens name', () => {
  it("is nobody else's", async () => {
    await put(ACME, { token_tenant: 'default' });
    expect(await code(put(OTHER, { token_tenant: 'default' }))).toBe('compat.taken');
    await world.call('PUT', '/v1/tenants/third', {});
    expect(await code(put(OTHER, { token_tenant: 'third' }))).toBe('compat.taken');
    await put(ACME, { route: true });
    expect(await code(put(OTHER, { token_tenant: 'acme' }))).toBe('compat.taken');
    expect((await put(OTHER, { token_tenant: 'default' })).status).toBe(200);
  });
});
