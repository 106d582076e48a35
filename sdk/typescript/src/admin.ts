/** Mints capabilities through the admin API, as an operator of one tenant. */
import type { ArgumentCondition, SenderKey } from './caveats.ts';
import type { ClientOptions, Token } from './client.ts';
import { Rejected, Unavailable } from './errors.ts';
import { addressOf, send, TIMEOUT_DEFAULT_MS } from './http.ts';

/** What a new capability shall allow. What is left out is not limited by it. */
export interface Terms {
  /** The registered agent that may use it. */
  readonly agent: string;
  readonly tools?: readonly string[];
  readonly forbiddenTools?: readonly string[];
  readonly upstreams?: readonly string[];
  readonly calls?: number;
  /** Seconds, at most 31 days; the service's default is an hour. */
  readonly expiresIn?: number;
  /** Unix seconds. */
  readonly notBefore?: number;
  readonly task?: string;
  readonly actor?: string;
  readonly audience?: string;
  readonly arguments?: readonly ({ path: string } & ArgumentCondition)[];
  readonly sender?: SenderKey;
  readonly amounts?: readonly { path: string; max?: number; total?: number }[];
}

export interface Minted {
  /** Names it in records. */
  readonly id: string;
  /** The token. It is shown once and stored nowhere. */
  readonly capability: string;
  readonly agent: string;
  /** RFC 3339 */
  readonly expiresAt: string;
  /** Pass it as `minRevision` to ask only who knows of it already. */
  readonly revision: string;
}

/** An operator of one tenant at one Countersign. It never repeats a request by itself. */
export class Admin {
  readonly #base: string;
  readonly #access: { readonly token: Token; readonly tenant: string };
  readonly #timeoutMs: number;

  constructor(
    baseUrl: string,
    access: { readonly token: Token; readonly tenant: string },
    { timeoutMs = TIMEOUT_DEFAULT_MS }: ClientOptions = {},
  ) {
    addressOf(baseUrl, '/');
    this.#base = baseUrl;
    this.#access = access;
    this.#timeoutMs = timeoutMs;
  }

  /** A new capability. @throws Rejected, Unavailable */
  async mint(terms: Terms): Promise<Minted> {
    const { forbiddenTools, expiresIn, notBefore, ...rest } = terms;
    const { token, tenant } = this.#access;
    const answer = await send(
      {
        url: addressOf(this.#base, `/v1/tenants/${encodeURIComponent(tenant)}/capabilities`),
        headers: {
          authorization: `Bearer ${(typeof token === 'string' ? token : await token()).trim()}`,
        },
        body: {
          ...rest,
          forbidden_tools: forbiddenTools,
          expires_in_s: expiresIn,
          not_before: notBefore,
        },
        timeoutMs: this.#timeoutMs,
      },
      (detail) => new Rejected(detail),
    );
    const { id, capability, agent, expires_at: expiresAt, revision } = answer;
    if (
      typeof id === 'string' &&
      typeof capability === 'string' &&
      typeof agent === 'string' &&
      typeof expiresAt === 'string' &&
      typeof revision === 'string'
    ) {
      return { id, capability, agent, expiresAt, revision };
    }
    throw new Unavailable({
      code: 'client.unexpected_answer',
      message: 'The answer is not a minted capability.',
    });
  }
}
