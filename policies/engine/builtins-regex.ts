/** Builtins over regular expressions: RE2 syntax, as Go's, in time that grows with the text only. */
import { RE2JS } from 're2js';

import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { integer, text } from './operands.ts';

export const REGEX_BUILTINS = {
  'regex.find_all_string_submatch_n': ([pattern, value, count]) =>
    matches(compiled(text(pattern)), text(value), integer(count)).map(({ groups }) => [...groups]),
  'regex.find_n': ([pattern, value, count]) =>
    matches(compiled(text(pattern)), text(value), integer(count)).map(
      ({ groups }) => groups[0] ?? '',
    ),
  'regex.is_valid': ([pattern]) => typeof pattern === 'string' && isPattern(pattern),
  'regex.match': ([pattern, value]) => compiled(text(pattern)).test(text(value)),
  'regex.replace': ([value, pattern, by]) =>
    replaced(text(value), compiled(text(pattern)), text(by)),
  'regex.split': ([pattern, value]) => split(compiled(text(pattern)), text(value)),
  'regex.template_match': ([template, value, start, end]) =>
    compiled(fromTemplate(text(template), text(start), text(end))).test(text(value)),
} as const satisfies Record<string, Builtin>;

/** Patterns stand in policies mostly; what comes out of arguments may be any number. */
const PATTERNS_MAX = 128;
const patterns = new Map<string, RE2JS>();

function compiled(pattern: string): RE2JS {
  const known = patterns.get(pattern);
  if (known !== undefined) return known;
  const fresh = compile(pattern);
  if (patterns.size >= PATTERNS_MAX) patterns.clear();
  patterns.set(pattern, fresh);
  return fresh;
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch {
    throw new NoValue('not a regular expression');
  }
}

function isPattern(pattern: string): boolean {
  try {
    compiled(pattern);
    return true;
  } catch {
    return false;
  }
}

interface Match {
  readonly start: number;
  readonly end: number;
  /** The whole and each group, "" for one that took no part. */
  readonly groups: readonly string[];
  readonly named: Readonly<Record<string, number>>;
}

/** Matches from left to right, `count` at most when it is not negative; an empty one does not follow on another. */
function matches(pattern: RE2JS, value: string, count: number): Match[] {
  const found: Match[] = [];
  const matcher = pattern.matcher(value);
  let last = -1;
  while ((count < 0 || found.length < count) && matcher.find()) {
    const [start, end] = [matcher.start(), matcher.end()];
    if (start === end && start === last) continue;
    last = end;
    const groups = Array.from(
      { length: pattern.groupCount() + 1 },
      (_, at) => matcher.group(at) ?? '',
    );
    found.push({ start, end, groups, named: pattern.namedGroups() });
  }
  return found;
}

/** `$1`, `${1}`, `$name`, `${name}` and `$$`, as Go's Expand; what does not exist is nothing. */
const REFERENCE = /\$(?:\$|\{(\w+)\}|(\w+))/g;

function replaced(value: string, pattern: RE2JS, by: string): string {
  let result = '';
  let end = 0;
  for (const match of matches(pattern, value, -1)) {
    result += value.slice(end, match.start);
    result += by.replace(REFERENCE, (whole, braced?: string, bare?: string) => {
      if (whole === '$$') return '$';
      const name = braced ?? bare ?? '';
      const group = /^\d+$/.test(name) ? Number(name) : match.named[name];
      return group === undefined ? '' : (match.groups[group] ?? '');
    });
    end = match.end;
  }
  return result + value.slice(end);
}

/** As Go's Split(-1). */
function split(pattern: RE2JS, value: string): string[] {
  if (pattern.pattern() !== '' && value === '') return [''];
  const parts: string[] = [];
  let [begin, end] = [0, 0];
  for (const match of matches(pattern, value, -1)) {
    end = match.start;
    if (match.end !== 0) parts.push(value.slice(begin, end));
    begin = match.end;
  }
  if (end !== value.length) parts.push(value.slice(begin));
  return parts;
}

/** Text with patterns between delimiters ("urn:{.*}") as one pattern. */
function fromTemplate(template: string, start: string, end: string): string {
  if (Buffer.byteLength(start) !== 1 || Buffer.byteLength(end) !== 1) {
    throw new NoValue('a delimiter has to be exactly one character long');
  }
  let pattern = '^';
  let depth = 0;
  let piece = '';
  for (const character of template) {
    if (character === start && depth++ === 0) {
      pattern += quote(piece);
      piece = '';
    } else if (character === end && --depth === 0) {
      compiled(`^${piece}$`);
      pattern += `(${piece})`;
      piece = '';
    } else {
      piece += character;
    }
    if (depth < 0) throw new NoValue('unbalanced delimiters');
  }
  if (depth !== 0) throw new NoValue('unbalanced delimiters');
  return `${pattern}${quote(piece)}$`;
}

const quote = (words: string): string => words.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
