/** Refusals of the admin API. */
import { ADMIN_ERRORS, type AdminErrorBody, type AdminErrorCode } from '#contracts/admin-errors.ts';

const RETRY_AFTER_S = 60;

/** A request that is not carried out. Thrown anywhere below a route; the app answers with the table's row. */
export class AdminError extends Error {
  readonly code: AdminErrorCode;
  /** JSON pointer into the body; empty when no place is to blame. */
  readonly path: string;
  /** Further members of the answer, such as the findings of a policy. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** Seconds, of those that are too many: 60 where nothing else is said. */
  readonly retryAfterS: number;

  /** @param detail replaces the table's message; MUST say nothing that this operator may not see */
  constructor(
    code: AdminErrorCode,
    detail = '',
    more: {
      readonly path?: string;
      readonly extra?: Readonly<Record<string, unknown>>;
      readonly cause?: unknown;
      readonly retryAfterS?: number;
    } = {},
  ) {
    super(detail === '' ? ADMIN_ERRORS[code].message : detail, { cause: more.cause });
    this.code = code;
    this.path = more.path ?? '';
    this.extra = more.extra ?? {};
    this.retryAfterS = more.retryAfterS ?? RETRY_AFTER_S;
  }

  get status(): number {
    return ADMIN_ERRORS[this.code].status;
  }

  body(): AdminErrorBody {
    const { help } = ADMIN_ERRORS[this.code];
    const path = this.path === '' ? {} : { path: this.path };
    return { error: { code: this.code, message: this.message, ...path, help }, ...this.extra };
  }
}
