/**
 * Facts that a system sends by itself: POST /v1/webhooks/{tenant}/{source}, signed as Standard Webhooks says. Its
 * secret is a file; a delivery counts once by its id, for a day.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';

import { ADMIN_OPERATIONS } from '#contracts/admin-api.ts';
import type { Changed } from '#contracts/admin-bodies.ts';
import { ThingId } from '#contracts/control.ts';
import { parseTenantId, type TenantId } from '#contracts/ids.ts';
import type { KV } from '#host/nats.ts';

import { bodyReader } from './body.ts';
import type { Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { factsChange } from './facts.ts';

export interface WebhookParts extends Pick<Deps, 'view' | 'record' | 'log'> {
  /** Folder with `<tenant>/<source>.secret`: one or two secrets (`whsec_...`), so that they can be rotated. */
  readonly folder: string;
  /** Deliveries that were carried out, by the hash of whose they are. */
  readonly done: Pick<KV, 'get' | 'put'>;
}

const TOLERANCE_S = 5 * 60;
const BODY_BYTES_MAX = 1024 * 1024;
const ID = /^[\x21-\x7e]{1,256}$/;
const SECRET = /^whsec_([A-Za-z0-9+/]{32,128}={0,2})$/;
const SECRET_BYTES_MIN = 24;
const thingId = Compile(ThingId);

interface Params {
  readonly Params: { readonly tenant: string; readonly source: string };
}

export function webhookRoutes(app: FastifyInstance, parts: WebhookParts): void {
  const read = bodyReader(ADMIN_OPERATIONS.changeFacts);
  app.post<Params>(
    '/v1/webhooks/:tenant/:source',
    { bodyLimit: BODY_BYTES_MAX },
    async (request) => {
      const { source } = request.params;
      const tenant = parseTenantId(request.params.tenant);
      // The same answer for an unknown source: names are told to nobody.
      if (tenant === undefined || !thingId.Check(source)) throw new AdminError('webhook.refused');
      const id = await checkSignature(request, parts, { tenant, source });
      const key = hash('sha256', JSON.stringify([tenant, source, id]), 'hex');
      const before = await parts.done.get(key);
      if (before?.operation === 'PUT') return { ...before.json<Changed>(), repeated: true };
      const { body } = read(request) as { readonly body: object };
      const asked = { ...body, source } as Parameters<typeof factsChange>[1]['body'];
      const change = factsChange(parts.view, { tenant, body: asked });
      // The stream takes two of one name for one, so that two at once make one event.
      const messageId = key;
      const changed = await parts.record({ tenant, by: `source:${source}`, messageId, change });
      await parts.done.put(key, JSON.stringify(changed)).catch((error: unknown) => {
        parts.log.warn(
          { err: error, source },
          'a delivery was not remembered; a repeat counts again',
        );
      });
      return changed;
    },
  );
}

/** The delivery's id, proved to be its source's. Untrusted: everything. @throws AdminError */
async function checkSignature(
  { headers, body }: FastifyRequest,
  { folder }: Pick<WebhookParts, 'folder'>,
  from: { readonly tenant: TenantId; readonly source: string },
): Promise<string> {
  const id = String(headers['webhook-id'] ?? '');
  const timestamp = String(headers['webhook-timestamp'] ?? '');
  const signatures = String(headers['webhook-signature'] ?? '').split(' ');
  const secrets = await secretsOf(folder, from);
  if (!ID.test(id) || !/^\d{1,12}$/.test(timestamp)) throw new AdminError('webhook.refused');
  const bytes = body instanceof Uint8Array ? body : new Uint8Array();
  const good = secrets.some((secret) => {
    const made = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(bytes).digest();
    return signatures.some(
      (signature) => signature.startsWith('v1,') && equal(made, signature.slice(3)),
    );
  });
  if (!good) throw new AdminError('webhook.refused');
  if (Math.abs(Date.now() / 1_000 - Number(timestamp)) > TOLERANCE_S)
    throw new AdminError('webhook.time');
  return id;
}

function equal(made: Uint8Array, base64: string): boolean {
  const given = Buffer.from(base64, 'base64');
  return given.length === made.length && timingSafeEqual(given, made);
}

/** Secrets of a source; none where it has no file, or one that is too short to be a secret. */
async function secretsOf(
  folder: string,
  { tenant, source }: { readonly tenant: TenantId; readonly source: string },
): Promise<Buffer[]> {
  if (folder === '') return [];
  const text = await readFile(join(folder, tenant, `${source}.secret`), 'utf8').catch(() => '');
  return text.split(/\s+/).flatMap((word) => {
    const secret = Buffer.from(SECRET.exec(word)?.[1] ?? '', 'base64');
    return secret.length >= SECRET_BYTES_MIN ? [secret] : [];
  });
}
