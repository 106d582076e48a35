/**
 * Tool names in capabilities: exact, or a pattern with the meaning of Go's path.Match, which v4
 * capabilities use: `*` any run without '/', `?` one character but '/', `[a-z]` and `[^a-z]` one
 * character of a class, `\` takes the next character as it is. The whole name must match.
 */

type Element =
  | { readonly kind: 'one'; readonly character: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly Range[] };
type Range = readonly [from: string, to: string];

/** What must match in one piece; `star` allows a run without '/' in front of it. */
interface Chunk {
  readonly star: boolean;
  readonly elements: readonly Element[];
}

/** Whether a name of a capability can be used: any exact name, or a well-formed pattern. */
export function isToolPattern(pattern: string): boolean {
  return !hasWildcard(pattern) || parsePattern(pattern) !== undefined;
}

/** Whether a tool is meant by a name or pattern. A malformed pattern means none: check it first. */
export function matchesTool(pattern: string, tool: string): boolean {
  if (!hasWildcard(pattern)) return pattern === tool;
  const chunks = parsePattern(pattern);
  return chunks !== undefined && matchChunks(chunks, Array.from(tool));
}

function hasWildcard(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/** The pattern as chunks that begin at each star, or undefined when it is malformed. */
function parsePattern(pattern: string): Chunk[] | undefined {
  const characters = Array.from(pattern);
  const chunks: Chunk[] = [];
  let elements: Element[] = [];
  let star = false;
  for (let at = 0; at < characters.length;) {
    if (characters[at] === '*') {
      if (star || elements.length > 0) chunks.push({ star, elements });
      star = true;
      elements = [];
      at += 1;
      continue;
    }
    const parsed = parseElement(characters, at);
    if (parsed === undefined) return undefined;
    elements.push(parsed.element);
    at = parsed.next;
  }
  chunks.push({ star, elements });
  return chunks;
}

function parseElement(
  characters: readonly string[],
  at: number,
): { element: Element; next: number } | undefined {
  const character = characters[at];
  if (character === '[') return parseClass(characters, at + 1);
  if (character === '?') return { element: { kind: 'any' }, next: at + 1 };
  const literal = character === '\\' ? at + 1 : at;
  const taken = characters[literal];
  if (taken === undefined) return undefined;
  return { element: { kind: 'one', character: taken }, next: literal + 1 };
}

function parseClass(
  characters: readonly string[],
  start: number,
): { element: Element; next: number } | undefined {
  const negated = characters[start] === '^';
  const ranges: Range[] = [];
  let at = negated ? start + 1 : start;
  while (ranges.length === 0 || characters[at] !== ']') {
    const from = parseBound(characters, at);
    if (from === undefined) return undefined;
    at = from.next;
    let to = from;
    if (characters[at] === '-') {
      const upper = parseBound(characters, at + 1);
      if (upper === undefined) return undefined;
      to = upper;
      at = to.next;
    }
    ranges.push([from.character, to.character]);
  }
  return { element: { kind: 'class', negated, ranges }, next: at + 1 };
}

function parseBound(
  characters: readonly string[],
  at: number,
): { character: string; next: number } | undefined {
  const escaped = characters[at] === '\\';
  const character = characters[escaped ? at + 1 : at];
  if (character === undefined || (!escaped && /[\]-]/.test(character))) return undefined;
  return { character, next: escaped ? at + 2 : at + 1 };
}

/**
 * Each chunk is taken at the first place where it fits and never moved again, as in Go: this is
 * what keeps a hostile pattern from taking more than pattern times name steps.
 */
function matchChunks(chunks: readonly Chunk[], name: readonly string[]): boolean {
  let at = 0;
  for (const [index, { star, elements }] of chunks.entries()) {
    const last = index === chunks.length - 1;
    if (star && last && elements.length === 0) return !name.includes('/', at);
    let start = at;
    while (!fits(elements, name, start) || (last && start + elements.length < name.length)) {
      if (!star || start >= name.length || name[start] === '/') return false;
      start += 1;
    }
    at = start + elements.length;
  }
  return at === name.length;
}

function fits(elements: readonly Element[], name: readonly string[], start: number): boolean {
  return elements.every((element, i) => {
    const character = name[start + i];
    return character !== undefined && fitsOne(element, character);
  });
}

function fitsOne(element: Element, character: string): boolean {
  if (element.kind === 'any') return character !== '/';
  if (element.kind === 'one') return character === element.character;
  const point = character.codePointAt(0) ?? 0;
  const within = element.ranges.some(
    ([from, to]) => (from.codePointAt(0) ?? 0) <= point && point <= (to.codePointAt(0) ?? 0),
  );
  return within !== element.negated;
}
