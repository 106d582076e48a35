/**
 * Credentials of upstreams: references to files or environment variables that only this process reads. A reference
 * reaches only what belongs to its tenant, else whoever registers upstreams could have any secret of this machine sent
 * to an address of their own. Never logged; read again when the file changes.
 */
import { open, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join, sep } from 'node:path';

import type { Upstream } from '#contracts/control.ts';

import { CREDENTIAL_PREFIX } from '../config.ts';

export interface CredentialOptions {
  /** Folder with one folder for each tenant; '' = no credential comes from a file. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** A credential that cannot be had; the message is for the operator and holds no secret. */
export class NoCredential extends Error {}

/** The header that carries an upstream's credential; no header for an upstream without one. @throws NoCredential */
export type CredentialOf = (
  tenant: string,
  upstream: Upstream,
) => Promise<Readonly<Record<string, string>>>;

const BYTES_MAX = 64 * 1024;
const VALUE = /^[!-~](?:[ -~]*[!-~])?$/;
const HEADER = /^[A-Za-z0-9-]+$/;
/** What the transport itself decides. */
const FORBIDDEN = /^(?:host|connection|content-.*|transfer-encoding|accept|te|upgrade|mcp-.*)$/i;

export function createCredentials({ folder, environment }: CredentialOptions): CredentialOf {
  const fromFile = cachedFiles();
  const secretOf = async (tenant: string, { file, env }: Reference): Promise<string> => {
    if ((file === undefined) === (env === undefined)) throw new NoCredential('one of file and env');
    const value =
      file === undefined
        ? environment[envNameOf(tenant, env ?? '')]
        : await fromFile(await placeOf(folder, tenant, file));
    const secret = value?.trim() ?? '';
    if (!VALUE.test(secret)) throw new NoCredential('empty, or not one line of ASCII');
    return secret;
  };
  return async (tenant, { credential }) => {
    if (credential === undefined) return {};
    const { header = 'Authorization', scheme = 'Bearer' } = credential;
    if (!HEADER.test(header) || FORBIDDEN.test(header)) throw new NoCredential('no such header');
    const secret = await secretOf(tenant, credential);
    return { [header.toLowerCase()]: scheme === '' ? secret : `${scheme} ${secret}` };
  };
}

type Reference = NonNullable<Upstream['credential']>;

/**
 * The variable, if it is this tenant's: `COUNTERSIGN_CREDENTIAL_<TENANT>__<NAME>`, the tenant in capitals with '_' for
 * '-' (and a small 'u' for '_', so that no two tenants share a prefix), no '__' in the name. @throws NoCredential
 */
function envNameOf(tenant: string, name: string): string {
  const own = tenant.toUpperCase().replaceAll('_', 'u').replaceAll('-', '_');
  const prefix = `${CREDENTIAL_PREFIX}${own}__`;
  if (!name.startsWith(prefix) || name.lastIndexOf('__') !== prefix.length - 2) {
    throw new NoCredential(`variables of this tenant begin ${prefix}`);
  }
  return name;
}

/** The real path, links resolved. @throws NoCredential for what lies outside the tenant's folder */
async function placeOf(folder: string, tenant: string, file: string): Promise<string> {
  if (folder === '') throw new NoCredential('no folder for credentials is configured');
  const own = join(folder, tenant);
  try {
    const [home, place] = await Promise.all([
      realpath(own),
      realpath(isAbsolute(file) ? file : join(own, file)),
    ]);
    if (place.startsWith(home + sep)) return place;
  } catch (cause) {
    throw new NoCredential('the file cannot be found', { cause });
  }
  throw new NoCredential("the file is not in the tenant's folder");
}

/** Contents by path, for as long as a file has the same size and times. */
function cachedFiles(): (path: string) => Promise<string> {
  const known = new Map<string, { readonly mark: string; readonly text: string }>();
  return async (path) => {
    const file = await open(path).catch((cause: unknown) => {
      throw new NoCredential('the file cannot be read', { cause });
    });
    try {
      const { size, mtimeMs, ctimeMs, ino } = await file.stat();
      if (size > BYTES_MAX) throw new NoCredential('the file is too large');
      const mark = `${size} ${mtimeMs} ${ctimeMs} ${ino}`;
      const before = known.get(path);
      if (before?.mark === mark) return before.text;
      const text = await readFile(file, 'utf8');
      known.set(path, { mark, text });
      return text;
    } finally {
      await file.close();
    }
  };
}
