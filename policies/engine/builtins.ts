/**
 * The builtins that OPA's WASM does not bring and we add: their names are part of what a policy may use
 * (capabilities.ts), their answers equal the Go evaluator's (test/service/policy/parity.test.ts).
 * A failure ends the evaluation: a rule that silently became undefined could be a refusal that never fires.
 */
import { TEXT_BUILTINS } from './builtins-text.ts';
import { TIME_BUILTINS } from './builtins-time.ts';

/** What every builtin of one evaluation sees as now: the recorded time of the decision. */
export interface DecisionClock {
  timeMs: number;
}

/** A function over JSON values; `undefined` is Rego's undefined, a throw refuses the call. */
export type Builtin = (operands: readonly unknown[], clock: DecisionClock) => unknown;

const BUILTINS: Readonly<Record<string, Builtin>> = { ...TIME_BUILTINS, ...TEXT_BUILTINS };

/** Names of the builtins that this host adds. */
export const HOST_BUILTINS: readonly string[] = Object.keys(BUILTINS).sort();

/** A builtin could not answer: the evaluation counts as failed. */
export class BuiltinFailure extends Error {
  override readonly name = 'BuiltinFailure';
}

/** The builtins bound to one clock, in the form that the SDK calls. */
export function bindBuiltins(
  clock: DecisionClock,
): Record<string, (...operands: readonly unknown[]) => unknown> {
  const bound: Record<string, (...operands: readonly unknown[]) => unknown> = {};
  for (const [name, builtin] of Object.entries(BUILTINS)) {
    bound[name] = (...operands) => {
      try {
        return finite(builtin(operands, clock));
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : 'unknown fault';
        throw new BuiltinFailure(`${name}: ${why}`, { cause });
      }
    };
  }
  return bound;
}

/** JSON would turn NaN and Infinity into null, and Rego ranks null below every number. */
function finite(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Error('no finite number');
  return value;
}
