/** JSON logs on standard output, one shape for every process. Agents' tokens and arguments are never logged. */
import { type Logger, pino } from 'pino';

export type { Logger };

/** A logger of the named process. */
export function createLog(name: string, level: string): Logger {
  return pino({
    name,
    level,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}
