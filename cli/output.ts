// What a person or a script gets to see from a command: tables, JSON, one-line errors with the next step.

/** Exit codes of every command. `finding`: it ran and has bad news; `misuse`: wrong arguments. */
export const EXIT = { ok: 0, finding: 1, misuse: 2, failed: 3 } as const;

/** A problem told in one line, with the step that helps. Anything else that is thrown is a bug. */
export class CliError extends Error {
  readonly exitCode: number;
  readonly help: string | undefined;

  constructor(
    message: string,
    options: { exitCode?: number; help?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.help = options.help;
  }
}
