// Every verb of the command line, read off its own description: an example to paste, and an answer for scripts.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { Command } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { runVerb } from '#test/support/run-verb.ts';

const COMMANDS = join(CHECKOUT, 'cli', 'commands');

const program = new Command('countersign');
beforeAll(async () => {
  for (const file of readdirSync(COMMANDS).filter((name) => name.endsWith('.ts'))) {
    const verb = (await import(join(COMMANDS, file))) as { register: (program: Command) => void };
    verb.register(program);
  }
});

/** A verb with the words that lead to it. */
function* verbsOf(command: Command, path: string): Generator<readonly [string, Command]> {
  for (const verb of command.commands) {
    const words = `${path} ${verb.name()}`.trim();
    yield [words, verb];
    yield* verbsOf(verb, words);
  }
}

describe('each verb', () => {
  it('is there', () => {
    const words = [...verbsOf(program, '')].map(([path]) => path);
    for (const expected of ['up', 'call', 'mint', 'policy put', 'facts patch', 'tools sync'])
      expect(words).toContain(expected);
  });

  it('shows a complete example of itself', async () => {
    for (const [path] of verbsOf(program, '')) {
      const { code, out } = await runVerb(...path.split(' '), '--help');
      const examples = out.slice(out.indexOf('\nExamples:\n'));
      const shown = [`./countersign ${path}`, `npm run ${path}`, `npm ${path}`];
      expect([path, code, shown.some((example) => examples.includes(example))]).toEqual([
        path,
        0,
        true,
      ]);
    }
  });

  it('answers as JSON where it answers at all', () => {
    for (const [path, verb] of verbsOf(program, '')) {
      if (verb.commands.length > 0) continue;
      expect([path, verb.options.some(({ long }) => long === '--json')]).toEqual([path, true]);
    }
  });
});
