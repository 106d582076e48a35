/** Wall time in a time zone, by the rules of this Node. Pure. */

/** Gives the parts of an instant's date and time, hours from 0 to 23. @throws RangeError where there is no such zone */
export const wallTimeFormat = (timeZone: string): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat('en-u-ca-iso8601-hc-h23', {
    timeZone,
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
