// Terms of a grant as a person types them, and as they are shown.

import { InvalidArgumentError } from 'commander';

import { visible } from '#cli/untrusted.ts';
import type { ArgumentBound, GrantTerms } from '#contracts/approval-grant.ts';

const NUMBERS = /^(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)$/;

/**
 * One bound: `/amount=1..500` (numbers, both ends included), `/order_id=ord_*` (begins so), `/currency=EUR|USD` (one
 * of; a value that is JSON counts as that). Collects. For options of commander.
 */
export function boundsGiven(
  text: string,
  before: readonly ArgumentBound[] = [],
): readonly ArgumentBound[] {
  const at = text.indexOf('=');
  const path = text.slice(0, at);
  if (at < 2 || !path.startsWith('/')) {
    throw new InvalidArgumentError('A bound is a JSON pointer, =, and what may stand there.');
  }
  return [...before, { path, ...conditionOf(text.slice(at + 1)) } as ArgumentBound];
}

function conditionOf(text: string): object {
  const [, min, max] = NUMBERS.exec(text) ?? [];
  if (min !== undefined && max !== undefined) return { min: Number(min), max: Number(max) };
  if (text.endsWith('*')) return { prefix: text.slice(0, -1) };
  return { one_of: text.split('|').map(scalarOf) };
}

function scalarOf(text: string): string | number | boolean {
  try {
    const value: unknown = JSON.parse(text);
    if (['string', 'number', 'boolean'].includes(typeof value)) return value as string | number;
  } catch {
    // a plain word
  }
  return text;
}

/** A grant in words. */
export function grantText({ uses, for_s: seconds, bounds }: GrantTerms): string {
  const differs = bounds.map((bound) => visible(boundText(bound))).join(', ');
  const minutes = Math.ceil(seconds / 60);
  const which = differs === '' ? 'of exactly these arguments' : `where only ${differs} may differ`;
  return `${uses} more within ${minutes} min, ${which}`;
}

function boundText(bound: ArgumentBound): string {
  if ('one_of' in bound) return `${bound.path}=${bound.one_of.join('|')}`;
  if ('prefix' in bound) return `${bound.path}=${bound.prefix}*`;
  return `${bound.path}=${bound.min}..${bound.max}`;
}
