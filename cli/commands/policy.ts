// `policy`: from files to what decides. `test` needs nothing but the opa program; the rest talks to the admin API.

import type { Command } from 'commander';

import { tellChange } from '#cli/changes.ts';
import { adminClient, reachable, type AdminClient, type Reach, Refused } from '#cli/client.ts';
import { diffLines } from '#cli/line-diff.ts';
import { findBinary } from '#cli/local/binaries.ts';
import { CliError, EXIT, paint, print, printJson, printTable, progress } from '#cli/output.ts';
import { isFloor, type PolicyFiles, readPolicy } from '#cli/policy-files.ts';
import { printReport, reportIn } from '#cli/policy-report.ts';
import type { Registered } from '#cli/things.ts';
import { addGroup, addVerb } from '#cli/verb.ts';
import type { PolicyAnswer } from '#contracts/admin-bodies.ts';
import type { StoredPolicy } from '#contracts/control.ts';

interface PutOptions extends Reach {
  readonly name?: string;
  readonly activate?: true;
}
interface TestOptions {
  readonly floor?: true;
  readonly json?: true;
}

interface Listed {
  readonly active: string | null;
  readonly previous: string | null;
  readonly items: readonly Registered<StoredPolicy>[];
}
interface Shown {
  readonly digest: string;
  readonly files: PolicyFiles;
}

export function register(program: Command): void {
  const group = addGroup(program, 'policy', {
    short: 'Test, store, activate, roll back and compare policies.',
    summary: 'Policies: test, put, activate, rollback, list, show, diff.',
    examples: [
      ['./countersign policy test policies/starter', 'check, test and compile without a system'],
      ['./countersign policy put policies/starter --activate', 'and make it decide'],
      ['./countersign policy rollback', 'the one before decides again'],
    ],
  });
  addTest(group);
  addPut(group);
  addActivation(group);
  addReading(group);
}

function addTest(group: Command): void {
  addVerb(group, 'test <place>', {
    summary: 'Check, test, compile and try a policy offline. Exit code 1 when it is not accepted.',
    examples: [
      ['./countersign policy test policies/starter', 'a folder; findings with file and line'],
      ['./countersign policy test policy.rego --json', 'for an editor or a pipeline'],
    ],
  })
    .option('--floor', 'it is a floor policy (else by its package)')
    .action(async (place: string, options: TestOptions) => {
      const files = await readPolicy(place);
      const role = options.floor === true || isFloor(files) ? 'floor' : 'tenant';
      // Only here: no other verb has to wait until the compiler's surroundings are loaded.
      const { buildBundle } = await import('#policies/engine/build.ts');
      const built = await buildBundle({ files, role, opa: await findBinary('opa', progress) });
      const { ok, findings, tests } = built;
      const digest = built.ok ? built.digest : null;
      if (options.json === true) printJson({ ok, role, digest, findings, tests });
      else {
        printReport({ findings, tests });
        print(
          digest === null ? paint('red', 'not accepted') : `accepted as ${role} policy ${digest}`,
        );
      }
      if (!ok) process.exitCode = EXIT.finding;
    });
}

function addPut(group: Command): void {
  reachable(
    addVerb(group, 'put <place>', {
      summary:
        'Store a policy: a folder, a Rego file or an archive. Exit code 1 when it is not accepted.',
      examples: [
        ['./countersign policy put policies/starter', 'stored, not active'],
        ['./countersign policy put policies/starter --activate', 'stored and active'],
        ['./countersign policy put policies/floor --tenant _platform --activate', 'the floor'],
      ],
    }),
  )
    .option('--name <text>', 'what people call it')
    .option('--activate', 'make it decide at once')
    .action(put);
}

async function put(place: string, options: PutOptions): Promise<void> {
  const admin = adminClient(options);
  const files = await readPolicy(place);
  const name = options.name ?? place.split('/').findLast((part) => part !== '') ?? place;
  let answer: PolicyAnswer;
  try {
    answer = (await admin.tenantCall('POST', 'policies', { files, name })) as PolicyAnswer;
  } catch (error) {
    const report = error instanceof Refused ? reportIn(error.body) : undefined;
    if (report === undefined) throw error;
    if (options.json === true) printJson({ ok: false, ...report });
    else {
      printReport(report);
      print(paint('red', 'not accepted'));
    }
    process.exitCode = EXIT.finding;
    return;
  }
  if (options.json !== true) printReport(answer);
  const { digest } = answer;
  if (options.activate !== true) {
    tellChange(options, answer, `stored ${digest}`);
    if (options.json !== true)
      print(paint('dim', `  next: ./countersign policy activate ${digest}`));
    return;
  }
  const activated = await admin.tenantCall('POST', `policies/${digest}/activate`);
  tellChange(options, { ...answer, ...(activated as object) }, `active: ${digest}`);
}

function addActivation(group: Command): void {
  reachable(
    addVerb(group, 'activate <digest>', {
      summary: 'Make a stored policy the one that decides.',
      examples: [['./countersign policy activate sha256:3fd0', 'a digest or how it begins']],
    }),
  ).action(async (begin: string, options: Reach) => {
    const admin = adminClient(options);
    const digest = digestOf(await list(admin), begin);
    tellChange(options, await activate(admin, digest), `active: ${digest}`);
  });
  reachable(
    addVerb(group, 'rollback', {
      summary: 'Make the policy that was active before decide again.',
      examples: [['./countersign policy rollback', 'a second time goes back again']],
    }),
  ).action(async (options: Reach) => {
    const admin = adminClient(options);
    const all = await list(admin);
    const { active, previous } = all;
    if (previous === null) {
      throw new CliError('No policy was active before this one.', { exitCode: EXIT.finding });
    }
    const answer = await activate(admin, previous);
    const sides = { from: active, to: previous };
    const shown = `rolled back\n  from      ${named(all, active)}\n  to        ${named(all, previous)}`;
    tellChange(options, { ...sides, ...(answer as object) }, shown);
  });
}

function addReading(group: Command): void {
  reachable(
    addVerb(group, 'list', {
      summary: 'List the stored policies; the active one is marked.',
      examples: [['./countersign policy list', 'with who put it and when']],
    }),
  ).action(async (options: Reach) => {
    const all = await list(adminClient(options));
    if (options.json === true) printJson(all);
    else if (all.items.length === 0) print('there are none');
    else printPolicies(all);
  });
  reachable(
    addVerb(group, 'show [digest]', {
      summary: 'Show the sources of a policy: of the active one, or of a digest.',
      examples: [['./countersign policy show', 'what decides now']],
    }),
  ).action(async (begin: string | undefined, options: Reach) => {
    const admin = adminClient(options);
    const shown = await show(admin, begin);
    if (options.json === true) printJson(shown);
    else printFiles(shown);
  });
  reachable(
    addVerb(group, 'diff <from> [to]', {
      summary:
        'Compare two policies: folders, files or digests; one alone with the active one. Exit code 1 when they differ.',
      examples: [
        ['./countersign policy diff policies/starter', 'what activating it would change'],
        ['./countersign policy diff sha256:3fd0 sha256:77ab', 'two stored ones'],
      ],
    }),
  ).action(async (from: string, to: string | undefined, options: Reach) => {
    const admin = adminClient(options);
    const [before, after] =
      to === undefined
        ? [(await show(admin, undefined)).files, await filesOf(admin, from)]
        : [await filesOf(admin, from), await filesOf(admin, to)];
    tellDiff(options, before, after);
  });
}

const list = async (admin: AdminClient): Promise<Listed> =>
  // The answer's shape is fixed in contracts/admin-api.ts.
  (await admin.tenantCall('GET', 'policies')) as Listed;

const activate = (admin: AdminClient, digest: string): Promise<unknown> =>
  admin.tenantCall('POST', `policies/${digest}/activate`);

/** The one stored policy whose digest begins so. Throws CliError. */
function digestOf({ items }: Listed, begin: string): string {
  const hex = begin.replace(/^sha256:/, '');
  const found = items.filter(({ id }) => id.startsWith(`sha256:${hex}`));
  if (found.length === 1 && found[0] !== undefined) return found[0].id;
  const many = found.length > 1 ? 'More than one policy begins' : 'No policy begins';
  throw new CliError(`${many} with "${begin}".`, {
    exitCode: EXIT.finding,
    help: './countersign policy list',
  });
}

/** A stored policy by digest and name. */
function named({ items }: Listed, digest: string | null): string {
  const name = items.find(({ id }) => id === digest)?.value.name ?? '';
  return `${digest ?? 'none'}${name === '' ? '' : `   ${name}`}`;
}

async function show(admin: AdminClient, begin: string | undefined): Promise<Shown> {
  const all = await list(admin);
  const digest = begin === undefined ? all.active : digestOf(all, begin);
  if (digest === null) {
    throw new CliError('No policy is active.', {
      exitCode: EXIT.finding,
      help: './countersign policy put FOLDER --activate',
    });
  }
  return (await admin.tenantCall('GET', `policies/${digest}`)) as Shown;
}

/** Files of a digest, else of a place on disk. */
const filesOf = async (admin: AdminClient, text: string): Promise<PolicyFiles> =>
  /^sha256:[0-9a-f]{4,64}$/.test(text) ? (await show(admin, text)).files : readPolicy(text);

function printPolicies({ active, previous, items }: Listed): void {
  const newest = items.toSorted((a, b) => (a.changed_at < b.changed_at ? 1 : -1));
  const mark = (id: string) => (id === active ? 'active' : id === previous ? 'before' : '');
  printTable(
    newest.map(({ id, changed_at: at, value }) => [
      mark(id),
      id.slice(0, 'sha256:'.length + 12),
      value.name,
      value.by,
      at,
    ]),
    ['', 'digest', 'name', 'put by', 'at'],
  );
}

function printFiles({ digest, files }: Shown): void {
  print(digest);
  for (const [path, text] of Object.entries(files)) {
    print();
    print(paint('bold', path));
    print(text.trimEnd());
  }
}

const DIFF_STYLE = { '+': 'green', '-': 'red', ' ': 'reset', '@': 'dim' } as const;

function tellDiff(options: Reach, before: PolicyFiles, after: PolicyFiles): void {
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const differing = paths.filter((path) => before[path] !== after[path]);
  if (options.json === true) {
    const sides = differing.map((path) => ({
      path,
      before: before[path] ?? null,
      after: after[path] ?? null,
    }));
    printJson({ differing: sides });
  } else if (differing.length === 0) print('no difference');
  else for (const path of differing) printDiff(path, before[path] ?? '', after[path] ?? '');
  if (differing.length > 0) process.exitCode = EXIT.finding;
}

function printDiff(path: string, before: string, after: string): void {
  print(paint('bold', path));
  for (const [sign, line] of diffLines(before, after)) {
    print(paint(DIFF_STYLE[sign], `${sign === '@' ? ' ' : sign} ${line}`));
  }
}
