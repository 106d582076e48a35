/**
 * Whether a regular expression of a foreign schema may be run on an agent's text. V8 moves an expression that backtracks
 * too much to its linear engine, but that engine knows no lookaround, no back reference, no counted repeats and no
 * Unicode sets; what needs those must not be able to backtrack without end in the first place.
 */
import { setFlagsFromString } from 'node:v8';

// Holds for expressions made later, in this process. Measured: /^(a|a)*$/ on 30 characters 1 ms instead of minutes.
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

const NEEDS_BACKTRACKING = /\(\?[=!<]|\\[1-9]|\\k<|\{\d+(,\d*)?\}/;
const NEEDS_UNICODE = /\\[pP]\{|\\u\{|[\u{10000}-\u{10ffff}]/u;
/** A repeat of fewer choices than this does not count as one. */
const CHOICES_MAX = 10;

/** The expression, or undefined when it could take exponential time. @throws SyntaxError when it is none */
export function boundedRegExp(pattern: string): RegExp | undefined {
  const unicode = NEEDS_UNICODE.test(pattern);
  const expression = new RegExp(pattern, unicode ? 'u' : '');
  const linear = !unicode && !NEEDS_BACKTRACKING.test(pattern);
  return linear || !mayExplode(pattern) ? expression : undefined;
}

interface Group {
  /** Repeated atoms inside, as pattern text. */
  readonly repeats: string[];
  branches: boolean;
  /** The last atom when it stands exactly once: it may separate rounds of a repeat. */
  last: string;
}

const TOKEN =
  /\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|k<[^>]*>|.)|\[(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|<[^>]*>))?|[)|]|[*+?]\??|\{\d+(?:,\d*)?\}\??|./gsu;

/**
 * True where a group is repeated that branches, or that repeats inside without a separator after it: then one text can
 * be read in exponentially many ways. Errs towards true.
 */
function mayExplode(pattern: string): boolean {
  const tokens = pattern.match(TOKEN) ?? [];
  const open: Group[] = [{ repeats: [], branches: false, last: '' }];
  for (const [at, token] of tokens.entries()) {
    const group = open.at(-1);
    if (group === undefined) return true; // brackets that do not pair up
    const repeated = isRepeat(tokens[at + 1] ?? '');
    if (token.startsWith('(')) open.push({ repeats: [], branches: false, last: '' });
    else if (token === ')') {
      open.pop();
      const outer = open.at(-1);
      if (outer === undefined) return true;
      if (repeated && (group.branches || !isSeparated(group))) return true;
      outer.repeats.push(...group.repeats, ...(repeated ? [group.last] : []));
      outer.branches ||= group.branches;
      outer.last = '';
    } else if (token === '|') group.branches = true;
    else if (!isQuantifier(token)) {
      if (repeated) group.repeats.push(token);
      group.last = isQuantifier(tokens[at + 1] ?? '') ? '' : token;
    }
  }
  return false;
}

/** A repeat inside is harmless when each round ends in one character that the repeat cannot take. */
function isSeparated({ repeats, last }: Group): boolean {
  if (repeats.length === 0) return true;
  const separator = /^\\?([^A-Za-z0-9\\[\].^$])$|^([A-Za-z0-9])$|^\\(\.)$/.exec(last);
  const character = separator?.[1] ?? separator?.[2] ?? separator?.[3];
  if (character === undefined) return false;
  return repeats.every((atom) => atom !== '' && !new RegExp(`^(?:${atom})$`, 'su').test(character));
}

const isQuantifier = (token: string): boolean => /^[*+?{]/.test(token) && token !== '{';

function isRepeat(token: string): boolean {
  if (/^[*+]/.test(token)) return true;
  const range = /^\{(\d+),(\d*)\}/.exec(token);
  if (range === null) return false;
  return range[2] === '' || Number(range[2]) - Number(range[1]) > CHOICES_MAX;
}
