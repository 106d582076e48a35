// Both packages are built and installed from nothing but themselves, in clean folders, without network.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { attenuate, mintCapability } from '#contracts/capability.ts';
import { CLAIMS } from '#test/support/random-capability.ts';
import { buildTypescriptSdk, hasPython, NO_PYTHON, PYTHON_SDK } from '#test/support/sdk.ts';

const exec = promisify(execFile);

const ROOT = mintCapability({ claims: CLAIMS, caveats: [] }, new Uint8Array(32).fill(7));
const NARROW = attenuate(ROOT, [{ t: 'tool_allow', tools: ['read_a'] }]);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-packages-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the npm package', () => {
  let built: string;
  let home: string;
  beforeAll(async () => {
    built = await buildTypescriptSdk();
    home = join(folder, 'npm');
    await mkdir(home);
    await writeFile(join(home, 'package.json'), '{"type":"module","private":true}');
    const npm = (...words: string[]) => exec('npm', [...words, '--offline'], { cwd: home });
    await npm('pack', built, '--ignore-scripts');
    const [archive = ''] = (await readdir(home)).filter((name) => name.endsWith('.tgz'));
    await npm('install', `./${archive}`, '--no-audit', '--no-fund');
  }, 120_000);
  afterAll(() => rm(built, { recursive: true, force: true }));

  test('holds what its users need and nothing else', async () => {
    const inside = await readdir(join(home, 'node_modules', '@countersign', 'sdk'), {
      recursive: true,
    });
    const kinds = inside.map((file) => file.replace(/^dist\/[\w-]+(\.d\.ts|\.js)$/, 'dist/*$1'));
    expect([...new Set(kinds)].sort()).toEqual([
      'README.md',
      'dist',
      'dist/*.d.ts',
      'dist/*.js',
      'examples',
      'examples/mint.mjs',
      'examples/narrow.mjs',
      'examples/quickstart.mjs',
      'examples/wait.mjs',
      'package.json',
    ]);
    expect(await readdir(join(home, 'node_modules'))).toEqual([
      '.package-lock.json',
      '@countersign',
    ]);
  });

  test('works where it was installed', async () => {
    const program = `import { attenuate } from '@countersign/sdk';
      console.log(attenuate(process.argv[1], { tools: ['read_a'] }));`;
    const arguments_ = ['--input-type=module', '-e', program, ROOT];
    const { stdout } = await exec(process.execPath, arguments_, { cwd: home });
    expect(stdout.trim()).toBe(NARROW);
  });

  test('has types that a strict program compiles against', async () => {
    await writeFile(
      join(home, 'program.ts'),
      `import { Client, Held, attenuate, type Decision } from '@countersign/sdk';
       export const narrow: string = attenuate('', { tools: ['a'], expiresIn: 60 });
       export const call = (client: Client): Promise<Decision> => client.call('a', { b: 1 });
       export const approval = (held: Held): string | undefined => held.approvalId;
       // @ts-expect-error an option that does not exist
       attenuate('', { tool: ['a'] });`,
    );
    const compiler = join(process.cwd(), 'node_modules', 'typescript', 'bin', 'tsc');
    const types = join(process.cwd(), 'node_modules', '@types');
    const options = '--noEmit --strict --target es2022 --module nodenext --types node';
    await exec(
      process.execPath,
      [compiler, ...options.split(' '), '--typeRoots', types, 'program.ts'],
      { cwd: home },
    );
  });
});

const there = hasPython('pip');
if (!there) console.warn(`${NO_PYTHON} as a package: it needs pip`);

describe.skipIf(!there)('the Python package', () => {
  let wheel: string;
  const python = (...words: string[]) =>
    exec('python3', words, {
      cwd: folder,
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', PIP_NO_INDEX: '1' },
    });
  beforeAll(async () => {
    const dir = join(folder, 'wheel');
    await python('-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', dir, PYTHON_SDK);
    wheel = join(dir, (await readdir(dir))[0] ?? '');
  }, 120_000);

  test('works where it was installed', async () => {
    const target = join(folder, 'python');
    await python('-m', 'pip', 'install', '--no-deps', '--target', target, wheel);
    const program = `import sys; sys.path.insert(0, ${JSON.stringify(target)})
import countersign
print(countersign.attenuate(sys.argv[1], tools=["read_a"]))
print(countersign.__file__)`;
    const { stdout } = await python('-I', '-c', program, ROOT);
    const file = join(target, 'countersign', '__init__.py');
    expect(stdout.trim().split('\n')).toEqual([NARROW, file]);
    const installed = await readdir(join(target, 'countersign'));
    expect(installed).toContain('py.typed');
    expect(await readdir(target)).toEqual(
      expect.arrayContaining(['countersign', 'countersign-0.1.0.dist-info']),
    );
  });

  test('is the same bytes each time', async () => {
    const again = join(folder, 'again');
    await python('-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', again, PYTHON_SDK);
    const [name = ''] = await readdir(again);
    expect((await readFile(join(again, name))).equals(await readFile(wheel))).toBe(true);
  });

  test('can be built from its source archive', async () => {
    const dir = join(folder, 'sdist');
    await mkdir(dir);
    const program = `import sys; sys.path.insert(0, ${JSON.stringify(PYTHON_SDK)})
import build_wheel
print(build_wheel.build_sdist(${JSON.stringify(dir)}))`;
    const { stdout } = await python('-c', program);
    const from = join(dir, 'from');
    await python('-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', from, join(dir, stdout.trim()));
    const [name = ''] = await readdir(from);
    expect((await readFile(join(from, name))).equals(await readFile(wheel))).toBe(true);
  });
});
