// What `npm run up|down|conformance|bench|torture` and `npm test` call. Plain JavaScript for Node 18 with nothing installed:
// installs the packages when needed, then hands over to cli/main.ts on the Node 24 that came with them.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERBS = ['up', 'down', 'test', 'conformance', 'bench', 'torture'];
/** Type stripping without a flag or warning; see engines of the packages we use. */
const NODE_FLOOR = [24, 12];
const START_FLOOR = [18, 0];
const PROGRESS_INTERVAL_MS = 5_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A problem in one line, and the command that fixes it. */
class StartError extends Error {
  constructor(message, help) {
    super(message);
    this.help = help;
  }
}

async function main([verb, ...rest]) {
  if (!VERBS.includes(verb)) {
    throw new StartError(`usage: node cli/start.mjs ${VERBS.join('|')} [options]`);
  }
  if (!reaches(process.versions.node, START_FLOOR)) {
    throw new StartError(
      `Node ${process.versions.node} is too old to start with; 18 or later is needed.`,
      'npm install --global node@24   (with sudo where npm is of the system)',
    );
  }
  if (!isInstalled()) await installPackages();
  const node = findNode();
  linkNode(node);
  process.exitCode = await handOver(node, ['cli/main.ts', verb, ...rest]);
}

/** npm writes this file last. It must not be older than the lock file that it fulfils. */
const INSTALLED = join(root, 'node_modules', '.package-lock.json');
const LOCK = join(root, 'package-lock.json');

function isInstalled() {
  return existsSync(INSTALLED) && modifiedAt(INSTALLED) >= modifiedAt(LOCK);
}

function modifiedAt(file) {
  return statSync(file).mtimeMs;
}

async function installPackages() {
  if (versionOf('npm') === undefined) {
    throw new StartError(
      'npm is missing.',
      'apt-get install npm   (or install Node with npm from https://nodejs.org)',
    );
  }
  say('installing the packages of package-lock.json (npm ci)');
  await npm('ci', process.env);
  if (!hasAllTools(process.versions.node)) {
    say(`installing what Node ${process.versions.node} left out, on Node 24 (npm install)`);
    rmSync(INSTALLED);
    const path = [dirname(findNode()), process.env.PATH].join(delimiter);
    await npm('install', { ...process.env, PATH: path });
  }
  // A clock that was set back since the checkout: what is installed is not older for that.
  if (!isInstalled()) utimesSync(INSTALLED, new Date(), Math.ceil(modifiedAt(LOCK) / 1000));
}

/** npm leaves out optional packages whose engines its Node does not meet: the native parts of vitest and oxlint ask for this. */
function hasAllTools(version) {
  return reaches(version, [22, 12]) || (version.startsWith('20.') && reaches(version, [20, 19]));
}

/** Runs npm on the lock file, which it leaves as it is. Settings of this machine must not leave out Node 24, Postgres or the tools. */
async function npm(verb, env) {
  const startedAt = Date.now();
  const timer = setInterval(() => {
    say(`npm ${verb}: ${Math.round((Date.now() - startedAt) / 1000)} s`);
  }, PROGRESS_INTERVAL_MS);
  const args = [verb, '--include=dev', '--include=optional', '--no-save'];
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const code = await run('npm', [...args, ...quiet], env).finally(() => clearInterval(timer));
  if (code !== 0) {
    throw new StartError(
      `npm ${verb} failed (exit code ${code}); its own message is above.`,
      'mend that, or check the network and the registry (npm ping), then run this again',
    );
  }
}

/** The Node 24 among our packages (Linux), else this one when it is new enough (a Mac). */
function findNode() {
  const own = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (reaches(versionOf(own), NODE_FLOOR)) return own;
  if (reaches(process.versions.node, NODE_FLOOR)) return process.execPath;
  throw new StartError(
    `Node ${NODE_FLOOR.join('.')} or later is needed, this is ${process.versions.node}, and no package brings one for ${process.platform}-${process.arch}.`,
    process.platform === 'darwin'
      ? 'brew install node@24'
      : 'npm ci   (without --omit=optional), or install Node 24',
  );
}

/** Scripts of package.json say `node` and mean Node 24; npm 9 (Debian 13, Ubuntu 24.04) makes no link for it. */
function linkNode(node) {
  const bin = join(root, 'node_modules', '.bin');
  if (node === process.execPath || existsSync(join(bin, 'node'))) return;
  try {
    rmSync(join(bin, 'node'), { force: true });
    symlinkSync(relative(bin, node), join(bin, 'node'));
  } catch {
    // Installed by another user, who has to make it; what runs here goes without.
  }
}

/** Runs our command line in this terminal: its signals, its output, its exit code. */
async function handOver(node, args) {
  const passOn = (signal, child) => {
    // At a terminal, Ctrl-C has reached the child already.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  return run(node, args, process.env, (child) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => passOn(signal, child));
    }
  });
}

function run(command, args, environment, onSpawn = () => {}) {
  return new Promise((resolve, reject) => {
    // Compiled code is kept, as by ./countersign.
    const cache = join(root, 'node_modules', '.cache', 'countersign');
    const env = { NODE_COMPILE_CACHE: cache, ...environment };
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', env });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
    onSpawn(child);
  });
}

function versionOf(command) {
  try {
    return execFileSync(command, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .trim()
      .replace(/^v/, '');
  } catch {
    return undefined;
  }
}

function reaches(version, [major, minor]) {
  if (version === undefined) return false;
  const [ownMajor, ownMinor] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`error: ${error.message}`);
  if (error.help !== undefined) say(`  next: ${error.help}`);
  process.exitCode = 3;
}
