/** The files of a policy as somebody sent them (untrusted), sorted into what opa reads and what it must not see. */
import { compileFactKeys, type FactsDeclaration, MalformedFacts } from '#contracts/facts.ts';
import { canonical, type Json, MalformedJson, parseStrict } from '#contracts/json.ts';
import { POLICY_ENTRYPOINTS, type PolicyRole } from '#contracts/policy.ts';

import { BUNDLE_LIMITS } from './bundle.ts';
import { asWarning, errorIn, type Finding } from './findings.ts';

export interface Sources {
  /** Rego and data by path, as opa gets them. */
  readonly forOpa: Readonly<Record<string, string>>;
  readonly facts: FactsDeclaration;
  readonly hasTests: boolean;
}

export interface SourcesRead {
  readonly sources: Sources;
  readonly findings: readonly Finding[];
}

/** No hidden files, no "..", nothing absolute, no characters that mean something to a shell or a file system. */
const PATH = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,7}$/;
const MANIFEST = '.manifest';
const FACTS = 'facts.json';

/**
 * Sorts and checks the files. `facts` given here, in `facts.json` and in the manifest's
 * `metadata.countersign.facts` must say the same where more than one says anything.
 */
export function readSources(
  files: Readonly<Record<string, string>>,
  facts: Json | undefined,
): SourcesRead {
  const findings = [...limitFindings(files), ...pathFindings(Object.keys(files))];
  const forOpa: Record<string, string> = {};
  const declared: Declared[] = facts === undefined ? [] : [{ file: '', facts }];
  for (const [path, text] of Object.entries(files)) {
    const kind = kindOf(path);
    if (kind === 'rego') {
      forOpa[path] = withoutAnnotations(text);
      if (!isTest(path)) findings.push(...trapFindings(path, text));
    } else if (kind === 'data') {
      forOpa[path] = text;
      if (path.endsWith('.json')) parseInto(findings, path, text);
    } else if (kind === 'facts') {
      declared.push({ file: path, facts: parseInto(findings, path, text) });
    } else if (kind === 'manifest') {
      const stated = factsOfManifest(parseInto(findings, path, text));
      if (stated !== undefined) declared.push({ file: path, facts: stated });
    } else if (kind === 'unknown') {
      findings.push(asWarning(errorIn(path, 'bundle.file_type', UNKNOWN_FILE)));
    }
  }
  if (!Object.keys(forOpa).some((path) => path.endsWith('.rego') && !isTest(path))) {
    findings.push(errorIn('', 'bundle.empty', 'there is no .rego file but tests'));
  }
  return {
    sources: {
      forOpa,
      facts: oneDeclaration(declared, findings),
      hasTests: Object.keys(forOpa).some(isTest),
    },
    findings,
  };
}

const UNKNOWN_FILE =
  'left out, as in a bundle of OPA: data stands in files called data.json or data.yaml, facts in facts.json';

type Kind = 'rego' | 'data' | 'facts' | 'manifest' | 'words' | 'unknown';

function kindOf(path: string): Kind {
  if (path === MANIFEST) return 'manifest';
  if (path === FACTS) return 'facts';
  if (path.endsWith('.rego')) return 'rego';
  if (/^(.*\/)?data\.(json|ya?ml)$/.test(path)) return 'data';
  return path.endsWith('.md') || path === 'LICENSE' ? 'words' : 'unknown';
}

/** Tests are checked and run, and left out of what decides. */
export const isTest = (path: string): boolean => path.endsWith('_test.rego');

function limitFindings(files: Readonly<Record<string, string>>): Finding[] {
  const findings: Finding[] = [];
  const bytes = (texts: readonly string[]) =>
    texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const paths = Object.keys(files);
  const data = bytes(
    paths.filter((path) => kindOf(path) === 'data').map((path) => files[path] ?? ''),
  );
  const limit = (what: string, has: number, max: number) => {
    if (has > max) {
      findings.push(errorIn('', 'bundle.limit', `${what}: ${has}, and ${max} are allowed`));
    }
  };
  limit('files', paths.length, BUNDLE_LIMITS.files);
  limit('bytes of data', data, BUNDLE_LIMITS.dataBytes);
  limit('bytes of sources', bytes(Object.values(files)) - data, BUNDLE_LIMITS.sourceBytes);
  return findings;
}

function pathFindings(paths: readonly string[]): Finding[] {
  const seen = new Map<string, string>();
  return paths.flatMap((path) => {
    if (path !== MANIFEST && (!PATH.test(path) || path.length > BUNDLE_LIMITS.path)) {
      return [errorIn(path.slice(0, BUNDLE_LIMITS.path), 'bundle.path', PATH_RULE)];
    }
    // Two names that are one file on a Mac would be one bundle here and another there.
    const twin = seen.get(path.toLowerCase());
    seen.set(path.toLowerCase(), path);
    return twin === undefined
      ? []
      : [errorIn(path, 'bundle.path', `differs from ${twin} only in case`)];
  });
}

const PATH_RULE =
  'a path is relative, of at most 8 names of letters, digits, "_", "-" and "." that do not begin with "."';

/**
 * Annotations could name schemas by file or address, which opa would read from this machine. A block begins with
 * a comment METADATA in the first column; in lower case it is an ordinary comment, in the same place.
 */
function withoutAnnotations(text: string): string {
  return text.replace(/^(#[^\S\n]*)METADATA/gm, '$1metadata');
}

interface Trap {
  readonly pattern: RegExp;
  readonly code: string;
  readonly message: string;
  readonly warning?: boolean;
}

/** What compiles and passes its tests, and decides otherwise once compiled (test/vectors/rego/differ.json). */
const TRAPS: readonly Trap[] = [
  {
    pattern: /glob\.match\(\s*["`][^"`]*[()|]/,
    code: 'rego.glob_pattern',
    message: '"(", ")" and "|" in a glob mean something else once compiled; use "{a,b}"',
  },
  {
    pattern: /\bto_number\(/,
    code: 'rego.to_number',
    message:
      'text that is no number ("5 000") ends the evaluation, and the call is blocked; register a schema for the ' +
      'tool, or test is_number first',
    warning: true,
  },
  {
    pattern: /\bsemver\.compare\(/,
    code: 'rego.semver_compare',
    message:
      'text that is no version ("latest") ends the evaluation, and the call is blocked; test semver.is_valid first',
    warning: true,
  },
];

function trapFindings(path: string, text: string): Finding[] {
  return text.split('\n').flatMap((line, at) =>
    TRAPS.flatMap(({ pattern, code, message, warning }) => {
      const found = line.trimStart().startsWith('#') ? null : pattern.exec(line);
      if (found === null) return [];
      const finding = errorIn(path, code, message, { line: at + 1, column: found.index + 1 });
      return [warning === true ? asWarning(finding) : finding];
    }),
  );
}

/** The value of a JSON file; a fault becomes a finding at its place. */
function parseInto(findings: Finding[], path: string, text: string): Json {
  const bytes = Buffer.from(text);
  try {
    return parseStrict(bytes);
  } catch (fault) {
    if (!(fault instanceof MalformedJson)) throw fault;
    const before = bytes.subarray(0, fault.offset).toString().split('\n');
    const at = { line: before.length, column: (before.at(-1) ?? '').length + 1 };
    findings.push(errorIn(path, 'bundle.json', `not strict JSON: ${fault.code}`, at));
    return {};
  }
}

interface Declared {
  readonly file: string;
  readonly facts: Json;
}

function factsOfManifest(manifest: Json): Json | undefined {
  const member = (value: Json | undefined, name: string): Json | undefined =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? value[name] : undefined;
  return member(member(member(manifest, 'metadata'), 'countersign'), 'facts');
}

function oneDeclaration(declared: readonly Declared[], findings: Finding[]): FactsDeclaration {
  const [first, ...others] = declared;
  if (first === undefined) return {};
  for (const other of others) {
    if (canonical(other.facts) !== canonical(first.facts)) {
      const message = `declares other facts than ${first.file === '' ? 'the request' : first.file}`;
      findings.push(errorIn(other.file, 'facts.conflict', message));
    }
  }
  try {
    compileFactKeys(first.facts);
    return first.facts as FactsDeclaration;
  } catch (fault) {
    if (!(fault instanceof MalformedFacts)) throw fault;
    findings.push(
      ...fault.problems.map((problem) => errorIn(first.file, 'facts.malformed', problem)),
    );
    return {};
  }
}

/**
 * Why the rule that is asked is missing, at the best place there is; undefined when it is there. Read off the
 * text: it only words the finding, what counts is that the compiler finds the entrypoint.
 */
export function missingDecision(
  files: Readonly<Record<string, string>>,
  role: PolicyRole,
): Finding | undefined {
  const [root = '', folder = '', rule = ''] = POLICY_ENTRYPOINTS[role].split('/');
  const wanted = `${root}.${folder}`;
  const modules = Object.entries(files)
    .filter(([path]) => path.endsWith('.rego') && !isTest(path))
    .map(([path, text]) => ({ path, text, ...packageOf(text) }));
  const inPackage = modules.filter(({ name }) => name === wanted);
  const defines = new RegExp(`^\\s*(default\\s+)?${rule}\\b`, 'm');
  if (inPackage.some(({ text }) => defines.test(text))) return undefined;
  const [first] = inPackage.length > 0 ? inPackage : modules;
  const message =
    inPackage.length > 0
      ? `package ${wanted} has no rule "${rule}"`
      : `the package is ${first?.name}; what decides is rule "${rule}" of package ${wanted}`;
  return errorIn(first?.path ?? '', 'bundle.no_decision', message, { line: first?.line ?? 0 });
}

function packageOf(text: string): { name: string; line: number } {
  const match = /^[^\S\n]*package\s+([\w.]+)/m.exec(text);
  const line = text.slice(0, match?.index ?? 0).split('\n').length;
  return { name: match?.[1] ?? '', line };
}
