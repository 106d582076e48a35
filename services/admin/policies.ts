/**
 * Policies: checked, tested and compiled before they are stored under their digest, and active only when somebody says
 * so. A tenant can see and activate only what was put for it, though equal sources have equal digests.
 */
import { type ActivePolicy, CONTROL_KEYS, type StoredPolicy } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';
import type { PolicyRole } from '#contracts/policy.ts';
import type { ControlView } from '#host/control-view.ts';
import type { ObjectStore } from '#host/nats.ts';
import { buildBundle, type BuildRequest, type BuildResult } from '#policies/engine/build.ts';
import { type NamedBundle, openBundle } from '#policies/engine/bundle.ts';
import { OpaUnavailable } from '#policies/engine/opa.ts';
import { unpackTarball } from '#policies/engine/tarball.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { exists, things } from './things.ts';

/** Sources to a bundle. @throws AdminError policy.compiler_away */
export type PolicyBuilder = (request: Omit<BuildRequest, 'opa'>) => Promise<BuildResult>;

/** Builds with the opa command, one after the other: a build takes a core for a second. */
export function policyBuilder(opa: string): PolicyBuilder {
  let last: Promise<unknown> = Promise.resolve();
  return (request) => {
    const building = last.then(() => buildBundle({ ...request, opa }));
    last = building.catch(() => undefined);
    return building.catch((cause: unknown) => {
      if (!(cause instanceof OpaUnavailable)) throw cause;
      throw new AdminError('policy.compiler_away', '', { cause });
    });
  };
}

type Policies = Pick<AdminHandlers, 'listPolicies' | 'getPolicy' | 'putPolicy' | 'activatePolicy'>;

const roleOf = (tenant: TenantId): PolicyRole => (tenant === PLATFORM ? 'floor' : 'tenant');

export function policyHandlers({ view, record, bundles, build }: Deps): Policies {
  const change = changeBy(record);
  const active = (tenant: TenantId) =>
    view.get<ActivePolicy>(CONTROL_KEYS.policy(tenant))?.value ?? undefined;
  return {
    listPolicies: async ({ tenant }) => {
      const listed = things<StoredPolicy>(
        view,
        CONTROL_KEYS.bundle(tenant, ''),
        (hex) => `sha256:${hex}`,
      );
      const now = active(tenant);
      return { ...listed, active: now?.digest ?? null, previous: now?.previous ?? null };
    },
    getPolicy: async ({ tenant, path: { digest = '' } }) => {
      const stored = storedPolicy(view, tenant, digest);
      const { bundle } = await bundleOf(bundles, tenant, digest);
      return {
        revision: view.revision(),
        digest,
        name: stored.name,
        role: stored.role,
        active: active(tenant)?.digest === digest,
        files: bundle.files,
      };
    },
    putPolicy: async (asked) => {
      const { files, facts, name } = await sourcesOf(asked);
      const role = roleOf(asked.tenant);
      const built = await build({ files, role, ...(facts === undefined ? {} : { facts }) });
      const { findings, tests } = built;
      if (!built.ok) throw new AdminError('policy.refused', '', { extra: { findings, tests } });
      const { digest, bundle } = built;
      await storeBundle(bundles, bundle);
      const changed = await change(asked, {
        kind: 'policy',
        action: 'put',
        target: digest,
        value: { name, role, files: Object.keys(files).length, by: asked.operator.id },
      });
      return { ...changed, digest, role, findings: [...findings], tests: plain(tests) };
    },
    activatePolicy: async (asked) => {
      const { tenant, path } = asked;
      const { digest = '' } = path;
      const { name } = storedPolicy(view, tenant, digest);
      // Never name what workers could not load.
      await bundleOf(bundles, tenant, digest);
      const value = activation(active(tenant), digest, name);
      const changed = await change(asked, {
        kind: 'policy',
        action: 'activate',
        target: digest,
        value,
      });
      return { ...changed, digest, previous: value.previous ?? null };
    },
  };
}

/** What runs from now on, and what ran before it: the way back. */
function activation(before: ActivePolicy | undefined, digest: string, name: string): ActivePolicy {
  const previous = before?.digest === digest ? before.previous : before?.digest;
  return {
    digest,
    ...(name === '' ? {} : { name }),
    ...(previous === undefined ? {} : { previous }),
  };
}

/** The answer's own copy of what the engine reports as unchangeable. */
const plain = ({ not_covered: gaps, ...counts }: BuildResult['tests']) => ({
  ...counts,
  not_covered: gaps.map(({ file, lines }) => ({ file, lines: [...lines] })),
});

type PutPolicy = Parameters<Policies['putPolicy']>[0];

/** The files of a request, from JSON or an archive. Untrusted; the build judges them. @throws AdminError */
async function sourcesOf({
  body,
  archive,
  query,
}: PutPolicy): Promise<Pick<BuildRequest, 'files' | 'facts'> & { readonly name: string }> {
  if (archive === undefined) return { ...body, name: body.name ?? query['name'] ?? '' };
  const unpacked = await unpackTarball(archive);
  if (!unpacked.ok) {
    throw new AdminError('policy.archive', '', { extra: { findings: unpacked.findings } });
  }
  const name = query['name'] ?? '';
  if (name.length > 128) throw new AdminError('request.schema', '"name" is too long.');
  return { files: unpacked.files, name };
}

/** @throws AdminError thing.not_found: also for a policy of another tenant */
function storedPolicy(view: ControlView, tenant: TenantId, digest: string): StoredPolicy {
  const key = CONTROL_KEYS.bundle(tenant, digest);
  const stored = exists(view, key) ? view.get<StoredPolicy>(key)?.value : undefined;
  if (stored === undefined || stored === null) throw new AdminError('thing.not_found');
  return stored;
}

async function bundleOf(
  store: ObjectStore,
  tenant: TenantId,
  digest: string,
): Promise<NamedBundle> {
  const bytes = await store.getBlob(digest);
  if (bytes === null)
    throw new AdminError('service.unavailable', 'The bundle is not in the store.');
  return openBundle(bytes, digest, roleOf(tenant));
}

/** Stored once: equal bytes have equal names. */
async function storeBundle(store: ObjectStore, { digest, bytes }: NamedBundle): Promise<void> {
  const before = await store.info(digest);
  if (before !== null && !before.deleted) return;
  await store.putBlob({ name: digest }, bytes);
}
