// How verbs talk to a system: which one, as whom, and what an answer that refuses says to a person.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Command } from 'commander';

import { placesIn, systemFolder } from '#cli/local/places.ts';
import { readState } from '#cli/local/run-state.ts';
import type { SystemState } from '#cli/local/run-state.ts';
import { CliError, EXIT } from '#cli/output.ts';

/** Options that `reachable` adds to a verb; commander gives them to its action. */
export interface Reach {
  readonly tenant?: string;
  readonly as?: string;
  readonly adminUrl?: string;
  readonly ingressUrl?: string;
  readonly json?: true;
}

/** The admin API, as one operator, for one tenant. */
export interface AdminClient {
  readonly tenant: string;
  /** Sends to a path below `/v1/tenants/{tenant}/`, such as `facts/orders/17`. */
  readonly tenantCall: (method: string, path: string, body?: unknown) => Promise<unknown>;
  /** The answer to a GET below the tenant as it arrives, for bytes and for streams of any length. */
  readonly tenantGet: (path: string) => Promise<Response>;
  /** The answer to a GET of any path as it arrives. */
  readonly get: (path: string) => Promise<Response>;
  /** Sends to any path. */
  readonly call: (method: string, path: string, body?: unknown) => Promise<unknown>;
}

const ANSWER_MS_MAX = 60_000;

/** Adds the options that say which system, as whom, and for which tenant. */
export function reachable(verb: Command): Command {
  return verb
    .option('--tenant <tenant>', 'the tenant (default: that of the demo)')
    .option('--as <operator>', 'who acts: a person of the demo, or a file with an operator token')
    .option(
      '--admin-url <url>',
      'the admin API (default: COUNTERSIGN_ADMIN_URL, else the local one)',
    )
    .option(
      '--ingress-url <url>',
      'the ingress (default: COUNTERSIGN_INGRESS_URL, else the local one)',
    );
}

/** The admin API that the options mean. Throws CliError when none runs or nobody is named. */
export function adminClient(options: Reach): AdminClient {
  const base = baseUrl(options.adminUrl ?? process.env['COUNTERSIGN_ADMIN_URL'], 'admin');
  const headers = { authorization: `Bearer ${readToken(operatorTokenFile(options))}` };
  const below = (path: string): string =>
    `/v1/tenants/${encodeURIComponent(tenantOf(options))}/${path}`;
  const call = (method: string, path: string, body?: unknown): Promise<unknown> =>
    send(new URL(path, base), { method, headers, body });
  const get = async (path: string): Promise<Response> => {
    const url = new URL(path, base);
    const response = await reach(url, { method: 'GET', headers });
    if (!response.ok) await readAnswer(response, `GET ${url.pathname}`); // throws
    return response;
  };
  return {
    // Not every verb is about one: where none is named, only those that are say so.
    get tenant() {
      return tenantOf(options);
    },
    call,
    get,
    tenantCall: async (method, path, body) => call(method, below(path), body),
    tenantGet: async (path) => get(below(path)),
  };
}

/** Sends to the ingress that the options mean; the caller's identity and capability are among `headers`. */
export async function ingressCall(
  reach: Reach,
  request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
  },
): Promise<unknown> {
  const base = baseUrl(reach.ingressUrl ?? process.env['COUNTERSIGN_INGRESS_URL'], 'ingress');
  return send(new URL(request.path, base), request);
}

/** Who asks, as options of a verb. */
export interface Caller {
  readonly identityFile?: string;
  readonly capabilityFile?: string;
}

/** Headers with identity and capability of an agent: those given, else the demo's. Throws CliError. */
export function callerOf({ identityFile, capabilityFile }: Caller): Record<string, string> {
  const state = localState();
  const demo = state?.demo;
  const identity = identityFile ?? demo?.identity_token_file;
  if (identity === undefined) {
    if (state === undefined)
      throw new CliError('The system is not running.', { help: 'npm run up' });
    throw state.phase === 'starting'
      ? new CliError('The system is still starting.', { help: './countersign status' })
      : new CliError('Who calls?', { exitCode: EXIT.misuse, help: 'add --identity-file FILE' });
  }
  const capability =
    capabilityFile ?? (identityFile === undefined ? demo?.capability_file : 'none');
  return {
    authorization: `Bearer ${readToken(identity)}`,
    ...(capability === undefined || capability === 'none'
      ? {}
      : { 'countersign-capability': readToken(capability) }),
  };
}

/** The tenant that the options mean, else that of the demo. */
export function tenantOf(reach: Reach): string {
  const tenant = reach.tenant ?? process.env['COUNTERSIGN_TENANT'] ?? localState()?.demo?.tenant;
  if (tenant !== undefined) return tenant;
  throw new CliError('Which tenant?', { exitCode: EXIT.misuse, help: 'add --tenant NAME' });
}

/** The local system, if one runs. */
export function localState(): SystemState | undefined {
  return readState(systemFolder());
}

/** The content of a file with a token. Throws CliError when it cannot be read. */
export function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new CliError(`The token file ${file} cannot be read.`, {
      exitCode: EXIT.misuse,
      help: 'name another file; that of the demo is made anew by npm run up',
      cause,
    });
  }
}

function baseUrl(given: string | undefined, name: 'admin' | 'ingress'): string {
  const url = given ?? localState()?.urls[name];
  if (url === undefined) {
    throw new CliError('The system is not running.', {
      help: `npm run up   (or name another one: --${name}-url URL)`,
    });
  }
  if (!URL.canParse(url)) {
    throw new CliError(`${url} is not an address.`, { exitCode: EXIT.misuse });
  }
  return url;
}

/** `--as ada` is a person of the local demo, `--as ./file` any token file. */
function operatorTokenFile(reach: Reach): string {
  const { operators } = placesIn(systemFolder());
  const who =
    reach.as ??
    process.env['COUNTERSIGN_OPERATOR_TOKEN_FILE'] ??
    localState()?.demo?.operator_token_files[0] ??
    'ada';
  const file = who.includes('/') ? who : join(operators, `${who}.token`);
  if (existsSync(file)) return file;
  throw new CliError(`There is no operator token ${file}.`, {
    exitCode: EXIT.misuse,
    help: 'add --as ada, or --as with the path of a file that holds an operator token',
  });
}

async function send(
  url: URL,
  request: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
  },
): Promise<unknown> {
  const { method, headers, body } = request;
  const response = await reach(url, {
    method,
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return readAnswer(response, `${method} ${url.pathname}`);
}

async function reach(url: URL, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (cause) {
    throw new CliError(`${url.origin} does not answer.`, {
      cause,
      help: './countersign status   (is everything ready?)',
    });
  }
}

/** The other side refused; its words are the message. `body` is the whole answer. */
export class Refused extends CliError {
  readonly code: string;
  readonly body: unknown;

  constructor(status: number, said: Said, body: unknown) {
    const where = said.path === '' ? '' : ` at ${said.path}`;
    super(`${said.message} (${said.code}${where})`, {
      exitCode: exitCodeOf(status),
      ...(said.help === '' ? {} : { help: said.help }),
      cause: body,
    });
    this.code = said.code;
    this.body = body;
  }
}

/** Not found and not accepted are findings, a wrong request is misuse; anything else could not run. */
function exitCodeOf(status: number): number {
  if (status === 404 || status === 409 || status === 422) return EXIT.finding;
  return status === 400 || status === 413 || status === 415 ? EXIT.misuse : EXIT.failed;
}

/** The JSON of an answer. @throws Refused with the words of its `error` or `reason` */
async function readAnswer(response: Response, request: string): Promise<unknown> {
  const text = await response.text();
  const body = parseJson(text);
  if (response.ok) return body;
  const said = saidIn(body);
  if (said !== undefined) throw new Refused(response.status, said, body);
  throw new CliError(`${request} was answered ${response.status}: ${text.slice(0, 500)}`);
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

interface Said {
  readonly code: string;
  readonly message: string;
  readonly help: string;
  readonly path: string;
}

/** What every refusal carries: admin's `error` (contracts/admin-errors.ts), the ingress's `reason` (reasons.ts). */
function saidIn(body: unknown): Said | undefined {
  const { error, reason } = (body ?? {}) as { error?: Partial<Said>; reason?: Partial<Said> };
  const { code, message, help = '', path = '' } = error ?? reason ?? {};
  return code === undefined || message === undefined ? undefined : { code, message, help, path };
}
