// An ingress that does not see the control feed might not see a kill switch: it says that it is not ready.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { startIngress, type TestIngress } from '#test/support/ingress.ts';

let ingress: TestIngress;
beforeAll(async () => {
  ingress = await startIngress();
});
afterAll(() => ingress.close());

it('is not ready once the control feed is silent', async () => {
  const reasons = async () => {
    const answer = (await (await fetch(`${ingress.healthUrl}/readyz`)).json()) as object;
    return 'reasons' in answer ? answer.reasons : [];
  };
  expect(await reasons()).toEqual([]);
  await ingress.operator.jsm.streams.delete('KV_control');
  await expect
    .poll(reasons, { timeout: 15_000, interval: 250 })
    .toEqual(['control: the control feed is silent']);
});
