/** Builtins over objects, lists and graphs. */
import type { Builtin } from './builtins.ts';
import { NoValue } from './no-value.ts';
import { items, list, object } from './operands.ts';
import { patched } from './patch.ts';
import { compare, isList, type Rego, RegoObject, RegoSet } from './values.ts';

export const STRUCTURE_BUILTINS = {
  'graph.reachable_paths': ([graph, roots]) => new RegoSet(paths(object(graph), items(roots))),
  'json.patch': ([value, operations]) => patched(value ?? null, list(operations)),
  'numbers.range_step': ([from, to, step]) => range(from, to, step),
  'object.subset': ([all, part]) => subset(all ?? null, part ?? null),
  'object.union_n': ([objects]) => list(objects).map(object).reduce(united, new RegoObject([])),
} as const satisfies Record<string, Builtin>;

/** The right one wins; objects under the same key are united. */
function united(left: RegoObject, right: RegoObject): RegoObject {
  const kept = left.entries.filter(([key]) => right.get(key) === undefined);
  const taken = right.entries.map(([key, value]) => {
    const before = left.get(key);
    const both = before instanceof RegoObject && value instanceof RegoObject;
    return [key, both ? united(before, value) : value] as const;
  });
  return new RegoObject([...kept, ...taken]);
}

function subset(all: Rego, part: Rego): boolean {
  if (all instanceof RegoObject && part instanceof RegoObject) return objectSubset(all, part);
  if (all instanceof RegoSet && part instanceof RegoSet)
    return part.items.every((one) => all.has(one));
  if (isList(all) && isList(part)) return listSubset(all, part);
  if (isList(all) && part instanceof RegoSet) return coversSet(all, part);
  throw new NoValue('both arguments must be of the same type, or array and set');
}

/** Whether a list has every item of a set. An empty list has none, not even those of an empty set, as in OPA. */
function coversSet(all: readonly Rego[], part: RegoSet): boolean {
  const has = new RegoSet(all);
  return all.length > 0 && part.items.every((one) => has.has(one));
}

const objectSubset = (all: RegoObject, part: RegoObject): boolean =>
  part.entries.every(([key, value]) => {
    const whole = all.get(key);
    if (whole === undefined) return false;
    if (compare(whole, value) === 0) return true;
    if (whole instanceof RegoObject && value instanceof RegoObject)
      return objectSubset(whole, value);
    if (whole instanceof RegoSet && value instanceof RegoSet)
      return value.items.every((one) => whole.has(one));
    return isList(whole) && isList(value) && listSubset(whole, value);
  });

/** Whether a list stands in another, one item after the other; OPA's own search, which does not look back. */
function listSubset(all: readonly Rego[], part: readonly Rego[]): boolean {
  if (part.length > all.length) return false;
  let [from, matched] = [0, 0];
  while (matched < part.length) {
    const [ours, theirs] = [all[from + matched], part[matched]];
    if (ours === undefined || theirs === undefined) return false;
    if (compare(ours, theirs) === 0) matched += 1;
    else [from, matched] = [from + 1, 0];
  }
  return true;
}

const RANGE_MAX = 1_000_000n;

function range(from: Rego | undefined, to: Rego | undefined, step: Rego | undefined): Rego[] {
  if (typeof from !== 'bigint' || typeof to !== 'bigint' || typeof step !== 'bigint') {
    throw new NoValue('operands must be integers');
  }
  if (step <= 0n) throw new NoValue('step must be a positive number');
  const distance = (from < to ? to - from : from - to) / step;
  if (distance > RANGE_MAX) throw new Error(`more than ${RANGE_MAX} numbers`);
  const by = from < to ? step : -step;
  return Array.from({ length: Number(distance) + 1 }, (_, at) => from + by * BigInt(at));
}

const neighbours = (edges: Rego | undefined): readonly Rego[] => {
  if (edges instanceof RegoSet) return edges.items;
  return edges !== undefined && isList(edges) ? edges : [];
};

const PATHS_MAX = 100_000;

/** Every path from a root to where it ends: a leaf, a node that the graph does not have, a node seen before. */
function paths(graph: RegoObject, roots: readonly Rego[]): Rego[][] {
  const found: Rego[][] = [];
  const end = (path: Rego[]) => {
    if (found.length >= PATHS_MAX) throw new Error(`more than ${PATHS_MAX} paths`);
    found.push(path);
  };
  const follow = (node: Rego, before: readonly Rego[], seen: readonly Rego[]) => {
    const edges = graph.get(node);
    if (edges === undefined) return end([...before]);
    const path = [...before, node];
    const onward = neighbours(edges);
    if (onward.length === 0) return end(path);
    for (const next of onward) {
      if ([...seen, node].some((one) => compare(one, next) === 0)) end([...path]);
      else follow(next, path, [...seen, node]);
    }
  };
  for (const root of roots) {
    const edges = graph.get(root);
    if (edges === undefined) continue;
    const onward = neighbours(edges);
    if (onward.length === 0) end([root]);
    for (const next of onward) follow(next, [root], [root]);
  }
  return found;
}
