// What is generated from the contracts is committed and current, and its schemas accept what they describe.

import { readFile } from 'node:fs/promises';

import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';

import { artefacts } from '#contracts/generate.ts';

it.each(Object.keys(artefacts()))('%s is current (npm run generate)', async (path) => {
  const file = await readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
  expect(file).toBe(artefacts()[path]);
});

const schemas = Object.entries(artefacts()).filter(([path]) => path.endsWith('.schema.json'));

it.each(schemas)('%s is a JSON Schema', (_path, text) => {
  const ajv = new Ajv2020({ strict: false });
  expect(() => ajv.compile(JSON.parse(text) as object)).not.toThrow();
});

it('names every schema that the bus document points to', () => {
  const document = artefacts()['contracts/generated/asyncapi.json'] ?? '';
  const named = [...document.matchAll(/"\.\/(schemas\/[^"]+)"/g)].map(([, path]) => path);
  expect(named.length).toBeGreaterThan(0);
  for (const path of named) expect(artefacts()).toHaveProperty([`contracts/generated/${path}`]);
});
