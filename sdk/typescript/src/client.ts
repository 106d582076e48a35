/** Asks Countersign whether a tool call may run, as an agent, and reports what became of it. */
import { isObject } from './caveats.ts';
import { Blocked, Expired, Held, Unavailable, type ErrorDetail } from './errors.ts';
import { addressOf, send, TIMEOUT_DEFAULT_MS, type Answer } from './http.ts';

export interface Reason {
  /** Stable; branch on this, show the message. */
  readonly code: string;
  readonly check: string;
  readonly message: string;
  readonly help: string;
}

/** A decision: recorded before it was answered. */
export interface Decision {
  readonly decisionId: string;
  readonly verdict: 'allow' | 'block' | 'escalate';
  readonly reason: Reason;
  readonly policyReason: string | undefined;
  /** What whoever runs the call must do with it; see `AskOptions.fulfils`. */
  readonly obligations: readonly { readonly type: string; readonly [member: string]: unknown }[];
  /** RFC 3339. An allow must not be acted on later. */
  readonly validUntil: string;
  readonly approvalId: string | undefined;
  /** Of a held call: asks what became of it. */
  readonly approvalHandle: string | undefined;
  /** True for an answer that was given before (same callId): a call that ran MUST NOT run again. */
  readonly repeated: boolean;
  /** Where its evidence stands, and what it survives. */
  readonly recorded: { readonly ref: string; readonly durability: string };
  /** Where one was asked for: the header Countersign-Receipt of the call to a tool server that checks receipts. */
  readonly receipt: string | undefined;
  /** The whole answer as it came. */
  readonly answer: Readonly<Record<string, unknown>>;
}

export interface AskOptions {
  /** The tool server, where several have a tool of this name. */
  readonly upstream?: string;
  /** Makes a repeat of this call safe for 24 hours: it gets the same answer. */
  readonly callId?: string;
  /** What the call is for. */
  readonly purpose?: string;
  readonly session?: string;
  readonly task?: string;
  /** Judge only knowing this change; from an answer of the admin API. */
  readonly minRevision?: string;
  /** Answer with a receipt. */
  readonly receipt?: boolean;
  /** How long the decision may take, 1 to 10,000; the service's default is 1,000. */
  readonly deadlineMs?: number;
  /** How long the whole request may take. */
  readonly timeoutMs?: number;
  /** Ends the waiting; the reason is thrown as it is. */
  readonly signal?: AbortSignal;
  /** For `call`: types of obligations that the caller fulfils. `tag` asks for nothing. Any other one blocks. */
  readonly fulfils?: readonly string[];
}

/** A call as it was asked for: only exactly the same call is released. */
export interface HeldCall {
  readonly tool: string;
  readonly args: object;
  readonly options: AskOptions;
}

export interface WaitOptions {
  /** How long to wait; 5 minutes when left out. */
  readonly timeoutMs?: number;
  /** Ends the waiting; the reason is thrown as it is. */
  readonly signal?: AbortSignal;
}

export interface Outcome {
  /** What the tool returned; kept in the record, at most 64 KiB. */
  readonly result?: unknown;
  readonly error?: string;
}

export interface ClientOptions {
  readonly timeoutMs?: number;
}

/** A token, or what gives a fresh one before each request. */
export type Token = string | (() => string | Promise<string>);

const WAIT_DEFAULT_MS = 300_000;
/** The longest that one request waits: below what proxies usually allow. */
const WAIT_ONCE_MS = 30_000;
/** Between two requests where the first was not answered, or sooner than it should have been. */
const PAUSE_MS = 1_000;

/** One agent at one Countersign. Only `wait` repeats a request by itself. */
export class Client {
  readonly #base: string;
  readonly #identity: Token;
  readonly #capability: Token;
  readonly #timeoutMs: number;

  /** @param capability empty = a standing grant of the agent counts */
  constructor(
    baseUrl: string,
    credentials: { readonly identity: Token; readonly capability?: Token },
    { timeoutMs = TIMEOUT_DEFAULT_MS }: ClientOptions = {},
  ) {
    addressOf(baseUrl, '/');
    this.#base = baseUrl;
    this.#identity = credentials.identity;
    this.#capability = credentials.capability ?? '';
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The decision about a call, whatever its verdict. Only `allow` may run.
   * @throws Unavailable, Expired (identity), Blocked: when nothing was judged
   */
  async ask(tool: string, args: object, options: AskOptions = {}): Promise<Decision> {
    const { purpose, timeoutMs = this.#timeoutMs, signal } = options;
    const body = {
      tool,
      arguments: args,
      upstream: options.upstream,
      call_id: options.callId,
      intent: purpose === undefined ? undefined : { purpose },
      task_id: options.task,
      session_id: options.session,
      min_revision: options.minRevision,
      receipt: options.receipt,
      deadline_ms: options.deadlineMs,
    };
    return decisionOf(await this.#send('/v1/decisions', body, { timeoutMs, signal }));
  }

  /**
   * The decision about a call that may run; anything else is thrown.
   * @throws Blocked, Held, Expired, Unavailable
   */
  async call(tool: string, args: object, options: AskOptions = {}): Promise<Decision> {
    const decision = await this.ask(tool, args, options);
    const { verdict, reason, obligations } = decision;
    const detail: ErrorDetail = { ...reason, decision };
    if (verdict === 'escalate') throw new Held(detail, { tool, args, options });
    if (reason.code === 'capability.expired') throw new Expired(detail);
    if (verdict !== 'allow') throw new Blocked(detail);
    const fulfilled = ['tag', ...(options.fulfils ?? [])];
    const unmet = obligations.find(({ type }) => !fulfilled.includes(type));
    if (unmet === undefined) return decision;
    throw new Blocked({
      code: 'client.obligation',
      message: `The call is allowed only with the obligation "${unmet.type}", which nobody fulfils here.`,
      help: 'Fulfil it and name it in "fulfils", or call through the gateway.',
      decision,
    });
  }

  /**
   * Waits until people have decided about a held call; once they approve, asks for exactly that call again.
   * A wait that ends earlier throws `held` again: the call still waits, and so can you.
   * @throws Blocked (`approval.denied`, or another end: `approval.expired`, ...), Held, Expired, Unavailable
   */
  async wait(
    held: Held,
    { timeoutMs = WAIT_DEFAULT_MS, signal }: WaitOptions = {},
  ): Promise<Decision> {
    const { call, decision } = held;
    if (decision?.approvalHandle === undefined) throw held;
    const end = performance.now() + timeoutMs;
    for (let left = timeoutMs; left > 0; left = end - performance.now()) {
      const asked = performance.now();
      const said = await this.#stateOf(decision.approvalHandle, { leftMs: left, signal });
      if (said['state'] === 'approved') {
        const options = signal === undefined ? call.options : { ...call.options, signal };
        return this.call(call.tool, call.args, options);
      }
      if (said['next'] !== 'wait') {
        const { state = 'unknown', message = 'It will not run.', note = '' } = said;
        const code = `approval.${String(state)}`;
        throw new Blocked({ code, message: String(message), help: String(note), decision });
      }
      const now = performance.now();
      await pause(Math.min(PAUSE_MS - (now - asked), end - now), signal);
    }
    throw held;
  }

  /** What became of a held call, as the service says it; as if it waited where nobody could say it in time. */
  async #stateOf(
    handle: string,
    { leftMs, signal }: { readonly leftMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<Answer> {
    const waitMs = Math.min(WAIT_ONCE_MS, leftMs);
    try {
      return await this.#send(
        `/v1/approvals/${encodeURIComponent(handle)}?wait=${Math.floor(waitMs / 1_000)}`,
        undefined,
        { timeoutMs: waitMs + this.#timeoutMs, signal },
      );
    } catch (error) {
      if (!(error instanceof Unavailable) || leftMs <= PAUSE_MS) throw error;
      await pause(Math.min((error.retryAfter ?? 0) * 1_000, leftMs), signal);
      return { next: 'wait' };
    }
  }

  /**
   * Records what became of an allowed call. Safe to repeat with the same content.
   * @throws Unavailable, Expired (identity), Blocked (unknown, or another outcome was reported)
   */
  async report(
    decision: Decision,
    status: 'executed' | 'failed' | 'refused_late' | 'unknown',
    outcome: Outcome = {},
  ): Promise<void> {
    const path = `/v1/decisions/${encodeURIComponent(decision.decisionId)}/outcome`;
    const body = { ref: decision.recorded.ref, status, ...outcome };
    await this.#send(path, body, { timeoutMs: this.#timeoutMs });
  }

  async #send(
    path: string,
    body: object | undefined,
    limits: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Answer> {
    const capability = await tokenOf(this.#capability);
    const headers = {
      authorization: `Bearer ${await tokenOf(this.#identity)}`,
      ...(capability === '' ? {} : { 'countersign-capability': capability }),
    };
    const url = addressOf(this.#base, path);
    return send({ url, headers, body, ...limits }, (detail) => new Blocked(detail));
  }
}

/** Rests for some milliseconds. @throws the signal's reason */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  if (ms <= 0) return;
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error); // whatever the caller gave
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

async function tokenOf(token: Token): Promise<string> {
  return (typeof token === 'string' ? token : await token()).trim();
}

/** Fails closed: an answer that is not wholly a decision allows nothing. */
function decisionOf(answer: Answer): Decision {
  const { decision_id: decisionId, verdict, reason, recorded, obligations, valid_until } = answer;
  if (
    typeof decisionId !== 'string' ||
    (verdict !== 'allow' && verdict !== 'block' && verdict !== 'escalate') ||
    !isReason(reason) ||
    !isRecorded(recorded) ||
    !isObligations(obligations) ||
    typeof valid_until !== 'string'
  ) {
    throw new Unavailable({
      code: 'client.unexpected_answer',
      message: 'The answer is not a decision.',
      help: 'Is this the address of Countersign?',
    });
  }
  return {
    decisionId,
    verdict,
    reason,
    policyReason: textIn(answer, 'policy_reason'),
    obligations,
    validUntil: valid_until,
    approvalId: textIn(answer, 'approval_id'),
    approvalHandle: textIn(answer, 'approval_handle'),
    repeated: answer['repeated'] === true,
    recorded,
    receipt: textIn(answer, 'receipt'),
    answer,
  };
}

function textIn(answer: Answer, member: string): string | undefined {
  const value = answer[member];
  return typeof value === 'string' ? value : undefined;
}

function isReason(value: unknown): value is Reason {
  return (
    isObject(value) &&
    ['code', 'check', 'message', 'help'].every((m) => typeof value[m] === 'string')
  );
}

function isRecorded(value: unknown): value is Decision['recorded'] {
  return (
    isObject(value) && typeof value['ref'] === 'string' && typeof value['durability'] === 'string'
  );
}

function isObligations(value: unknown): value is Decision['obligations'] {
  return (
    Array.isArray(value) &&
    value.every((entry) => isObject(entry) && typeof entry['type'] === 'string')
  );
}
