/** json.patch: RFC 6902 over Rego's values, with paths as OPA takes them: a pointer, or a list of segments. */
import { NoValue } from './no-value.ts';
import { list, object, text } from './operands.ts';
import { compare, isList, type Rego, RegoObject, RegoSet } from './values.ts';

/** The value after all operations in order. */
export function patched(value: Rego, operations: readonly Rego[]): Rego {
  return operations.reduce(apply, value);
}

function apply(value: Rego, stated: Rego): Rego {
  const operation = object(stated);
  const member = (name: string): Rego => {
    const found = operation.get(name);
    if (found === undefined) throw new NoValue(`missing required attribute '${name}'`);
    return found;
  };
  const path = pathOf(member('path'));
  switch (text(member('op'))) {
    case 'add':
      return put(value, path, member('value'));
    case 'remove':
      return without(value, path);
    case 'replace':
      return put(without(value, path), path, member('value'));
    case 'move': {
      const from = pathOf(member('from'));
      return put(without(value, from), path, at(value, from));
    }
    case 'copy':
      return put(value, path, at(value, pathOf(member('from'))));
    case 'test':
      if (compare(at(value, path), member('value')) === 0) return value;
      throw new NoValue('the test of a patch failed');
    default:
      throw new NoValue('unrecognized op');
  }
}

type Path = readonly Rego[];

function pathOf(path: Rego): Path {
  if (typeof path !== 'string') return list(path);
  if (path === '') return [];
  return path
    .replace(/^\/+/, '')
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function at(value: Rego, path: Path): Rego {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const inner = member(value, key);
  if (inner === undefined) throw new NoValue('no such path');
  return at(inner, rest);
}

function member(value: Rego, key: Rego): Rego | undefined {
  if (value instanceof RegoObject) return value.get(key);
  if (value instanceof RegoSet) return value.has(key) ? key : undefined;
  return isList(value) ? value[index(value, key, value.length - 1)] : undefined;
}

/** Where in a list a segment points; "-" is behind its end. */
function index(value: readonly Rego[], key: Rego, last: number): number {
  const stated = typeof key === 'bigint' ? String(key) : text(key);
  if (stated === '-') return value.length;
  const position = /^(?:0|[1-9]\d{0,8})$/.test(stated) ? Number(stated) : Number.NaN;
  if (!(position <= last)) throw new NoValue('no such index');
  return position;
}

function put(value: Rego, path: Path, added: Rego): Rego {
  const [key, ...rest] = path;
  if (key === undefined) return added;
  const inner = rest.length === 0 ? added : put(present(member(value, key)), rest, added);
  if (value instanceof RegoObject) {
    return new RegoObject([
      ...value.entries.filter(([one]) => compare(one, key) !== 0),
      [key, inner],
    ]);
  }
  if (value instanceof RegoSet) {
    if (rest.length === 0 && compare(key, inner) !== 0)
      throw new NoValue('a set is indexed by its members');
    return new RegoSet([...value.items.filter((one) => compare(one, key) !== 0), inner]);
  }
  const items = list(value);
  if (rest.length > 0) return items.with(index(items, key, items.length - 1), inner);
  return items.toSpliced(index(items, key, items.length), 0, inner);
}

function without(value: Rego, path: Path): Rego {
  const [key, ...rest] = path;
  if (key === undefined) return null;
  const inner = present(member(value, key));
  if (rest.length > 0) {
    const changed = without(inner, rest);
    if (isList(value)) return value.with(index(value, key, value.length - 1), changed);
    return put(value, [key], changed);
  }
  if (value instanceof RegoObject) {
    return new RegoObject(value.entries.filter(([one]) => compare(one, key) !== 0));
  }
  if (value instanceof RegoSet)
    return new RegoSet(value.items.filter((one) => compare(one, key) !== 0));
  const items = list(value);
  return items.toSpliced(index(items, key, items.length - 1), 1);
}

function present(value: Rego | undefined): Rego {
  if (value === undefined) throw new NoValue('no such path');
  return value;
}
