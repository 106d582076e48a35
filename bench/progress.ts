// Says how far something long is, at its beginning and every ten seconds.

const PROGRESS_MS = 10_000;

export type Tell = (what: string, done: number, of: number) => void;

export function progress(log: (line: string) => void): Tell {
  let toldAt = 0;
  let last = '';
  return (what, done, of) => {
    if (what === last && performance.now() - toldAt < PROGRESS_MS) return;
    [toldAt, last] = [performance.now(), what];
    log(`${what}: ${done} of ${of}`);
  };
}
