// The SDKs as their users have them: the npm package built, the Python package in a process of its own.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { CHECKOUT } from '#cli/local/places.ts';

export const PYTHON_SDK = join(CHECKOUT, 'sdk', 'python');
const TYPESCRIPT_SDK = join(CHECKOUT, 'sdk', 'typescript');

const exec = promisify(execFile);

/** The npm package in a new folder, built as `npm run build` does. The caller removes the folder. */
export async function buildTypescriptSdk(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-sdk-'));
  for (const part of ['package.json', 'README.md', 'examples']) {
    await cp(join(TYPESCRIPT_SDK, part), join(dir, part), { recursive: true });
  }
  const compiler = join(CHECKOUT, 'node_modules', 'typescript', 'bin', 'tsc');
  await exec(process.execPath, [compiler, '-p', TYPESCRIPT_SDK, '--outDir', join(dir, 'dist')]);
  return dir;
}

/** Whether there is a Python of 3.9 or later with a module. */
export function hasPython(module = 'sys'): boolean {
  const check = `import sys, ${module}; sys.exit(sys.version_info < (3, 9))`;
  try {
    execFileSync('python3', ['-c', check], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** What a test without Python says when it is skipped. */
export const NO_PYTHON = 'python3 of 3.9 or later is not there: the Python SDK is NOT tested';

/** Reads the Python SDK from here, and leaves nothing behind in the checkout. */
export const PYTHON_ENV = {
  PYTHONPATH: join(PYTHON_SDK, 'src'),
  PYTHONDONTWRITEBYTECODE: '1',
};

export interface PythonSdk {
  /** Answer to one order of sdk-driver.py; orders are answered in turn. */
  readonly ask: (order: object) => Promise<Record<string, unknown>>;
  readonly close: () => Promise<void>;
}

/** One process that does what it is asked with the Python SDK. */
export function startPythonSdk(): PythonSdk {
  const driver = join(import.meta.dirname, 'sdk-driver.py');
  const child = spawn('python3', [driver], {
    env: { ...process.env, ...PYTHON_ENV },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ask: async (order) => {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      const { value, done } = await answers.next();
      if (done === true) throw new Error('the Python SDK has ended');
      return JSON.parse(value) as Record<string, unknown>;
    },
    close: async () => {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
