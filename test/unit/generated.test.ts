// What is generated from the contracts is committed and current, and its schemas accept what they describe.

import { readFile } from 'node:fs/promises';

import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';

import { artefacts } from '#contracts/generate.ts';

const made = artefacts();

it.each(Object.entries(made))('%s is current (npm run generate)', async (path, text) => {
  expect(await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')).toBe(text);
});

const ajv = new Ajv2020({ strict: false, addUsedSchema: false });
const schemas = Object.entries(made).filter(([path]) => path.endsWith('.schema.json'));

it.each(schemas)('%s is a JSON Schema', (_path, text) => {
  expect(() => ajv.compile(JSON.parse(text) as object)).not.toThrow();
});

it('names every schema that the bus document points to', () => {
  const document = made['contracts/generated/asyncapi.json'] ?? '';
  const named = [...document.matchAll(/"\.\/(schemas\/[^"]+)"/g)].map(([, path]) => path);
  expect(named.length).toBeGreaterThan(0);
  for (const path of named) expect(made).toHaveProperty([`contracts/generated/${path}`]);
});
