/** One JSON request and its answer: no retries, no redirects (they would carry credentials away), one time-out. */
import { isObject } from './caveats.ts';
import { Expired, Unavailable, type CountersignError, type ErrorDetail } from './errors.ts';

export interface Request {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Without one it is a GET. */
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export const TIMEOUT_DEFAULT_MS = 10_000;
const USER_AGENT = 'countersign-sdk-typescript/0.1.0';

export type Answer = Readonly<Record<string, unknown>>;

/** The address of a path below a base address, which may have a path of its own. */
export function addressOf(base: string, path: string): URL {
  return new URL(base.replace(/\/+$/, '') + path);
}

/**
 * The answer to a request that was accepted. What was not is thrown: as `Expired` or `Unavailable` where it means that,
 * else as what `refused` makes of it.
 */
export async function send(
  request: Request,
  refused: (detail: ErrorDetail) => CountersignError,
): Promise<Answer> {
  const { response, text } = await exchange(request);
  const answer = objectIn(text);
  if (response.ok && answer !== undefined) return answer;
  const { status } = response;
  const detail = refusalIn(answer) ?? {
    code: 'client.unexpected_answer',
    message: `The answer was HTTP ${status} and not as documented.`,
    help: 'Is this the address of Countersign?',
  };
  if (detail.code === 'identity.expired') throw new Expired(detail);
  if (response.ok || status === 408 || status === 429 || status >= 500) {
    throw new Unavailable({ ...detail, ...retryAfterOf(response) });
  }
  throw refused(detail);
}

async function exchange({ url, headers, body, timeoutMs, signal }: Request): Promise<{
  readonly response: Response;
  readonly text: string;
}> {
  const ending = new AbortController();
  const end = () => ending.abort();
  const timer = setTimeout(end, timeoutMs);
  signal?.addEventListener('abort', end);
  try {
    signal?.throwIfAborted();
    const response = await fetch(url, {
      headers: { 'content-type': 'application/json', 'user-agent': USER_AGENT, ...headers },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      redirect: 'error',
      signal: ending.signal,
    });
    return { response, text: await response.text() };
  } catch (cause) {
    signal?.throwIfAborted();
    throw new Unavailable({
      code: ending.signal.aborted ? 'client.timeout' : 'client.unreachable',
      message: ending.signal.aborted ? 'No answer came in time.' : `${url.origin} does not answer.`,
      help: 'Try again in a moment; nothing was allowed.',
      cause,
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

function objectIn(text: string): Answer | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The words of a refusal: the ingress says `reason`, the admin API `error`. */
function refusalIn(answer: Answer | undefined): ErrorDetail | undefined {
  const said = answer?.['reason'] ?? answer?.['error'];
  if (!isObject(said)) return undefined;
  const { code, message, help, path } = said;
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  const where = typeof path === 'string' && path !== '' ? ` (at ${path})` : '';
  return { code, message: message + where, help: typeof help === 'string' ? help : '' };
}

function retryAfterOf(response: Response): { readonly retryAfter?: number } {
  const header = response.headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(header) ? { retryAfter: Number(header) } : {};
}
