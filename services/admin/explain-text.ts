/** Rows and moments in the words of an explanation. */
import type { AuditRow } from '#contracts/audit-api.ts';
import type { Json } from '#contracts/json.ts';

/** A text member of a row's leaf, '' for one that is none. */
export type Text = (name: string) => string;

export const textOf =
  ({ leaf }: AuditRow): Text =>
  (name) => {
    const value = leaf[name];
    return typeof value === 'string' ? value : '';
  };

/** A text member of something that may be an object. */
export function memberOf(value: unknown, name: string): string {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return '';
  const member = (value as Readonly<Record<string, unknown>>)[name];
  return typeof member === 'string' ? member : '';
}

export function stopText(row: AuditRow): string {
  const text = textOf(row);
  return `By ${doneBy(row)}: ${text('target')}, ${JSON.stringify(text('reason'))}.`;
}

export const changeText = (row: AuditRow): string => {
  const text = textOf(row);
  return `${row.kind.replace('control.', '')} ${text('action')} ${shortened(text('target'))} by ${doneBy(row)}`;
};
/** A digest by its beginning, as everywhere here. */
const shortened = (target: string): string =>
  target.slice(0, target.startsWith('sha256:') ? 19 : 80);
export const doneBy = (row: AuditRow): string => `${textOf(row)('by')}, ${clock(row.at)}`;
export const isObject = (value: Json): value is { readonly [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const NAMES_MAX = 12;
export function namesIn(value: Json): string {
  if (!isObject(value)) return 'of another form';
  const names = Object.keys(value);
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : '';
  return `{${names.slice(0, NAMES_MAX).join(', ')}${more}}`;
}

/** Seconds are enough for people; always UTC, and it says so. */
export const clock = (at: string | number): string => {
  const date = new Date(at);
  return Number.isNaN(date.getTime())
    ? String(at)
    : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
};
