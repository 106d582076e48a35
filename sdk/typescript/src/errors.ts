/** What can go wrong, as classes to catch. Each carries a stable code, a message and what would help. */
import type { Decision, HeldCall } from './client.ts';

export interface ErrorDetail {
  readonly code: string;
  readonly message: string;
  readonly help?: string;
  readonly decision?: Decision;
  readonly cause?: unknown;
}

/** The common base. Codes `client.*` are the SDK's own; all others are Countersign's. */
export class CountersignError extends Error {
  override readonly name: string = 'CountersignError';
  readonly code: string;
  readonly help: string;
  /** The recorded decision behind it; undefined where nothing was judged. */
  readonly decision: Decision | undefined;
  readonly decisionId: string | undefined;

  constructor({ code, message, help = '', decision, cause }: ErrorDetail) {
    super(message, { cause });
    this.code = code;
    this.help = help;
    this.decision = decision;
    this.decisionId = decision?.decisionId;
  }
}

/** The call must not run, and repeating it as it is will not help. */
export class Blocked extends CountersignError {
  override readonly name = 'Blocked';
}

/** A person has to approve the call first. It must not run now. */
export class Held extends CountersignError {
  override readonly name = 'Held';
  readonly approvalId: string | undefined;
  /** What `Client.wait` asks again for. */
  readonly call: HeldCall;

  constructor(detail: ErrorDetail, call: HeldCall) {
    super(detail);
    this.approvalId = detail.decision?.approvalId;
    this.call = call;
  }
}

/** The capability (`capability.expired`) or the identity (`identity.expired`) has expired: get a new one. */
export class Expired extends CountersignError {
  override readonly name = 'Expired';
}

/** Nobody could judge the call, or the answer did not arrive. It must not run; it may be asked again later. */
export class Unavailable extends CountersignError {
  override readonly name = 'Unavailable';
  /** Seconds to wait; undefined when nobody said. */
  readonly retryAfter: number | undefined;

  constructor(detail: ErrorDetail & { readonly retryAfter?: number }) {
    super(detail);
    this.retryAfter = detail.retryAfter;
  }
}

/** The admin API refused: wrong terms, or not for this operator. */
export class Rejected extends CountersignError {
  override readonly name = 'Rejected';
}

/** A text that is no capability, or caveats that make none. */
export class MalformedCapability extends CountersignError {
  override readonly name = 'MalformedCapability';

  constructor(message: string, code = 'capability.malformed') {
    super({ code, message });
  }
}
