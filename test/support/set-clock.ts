// Preloaded into a process (`node --import`): SIGUSR2 sets its clock TEST_CLOCK_OFF_MS wrong, the next one right again.
// What the process gets from others keeps its times, and monotonic time goes on, as where a host's clock is wrong.

const offMs = Number(process.env['TEST_CLOCK_OFF_MS']);
const RightDate = Date;
let wrongBy = 0;
process.on('SIGUSR2', () => {
  wrongBy = wrongBy === 0 ? offMs : 0;
});

globalThis.Date = class extends RightDate {
  constructor(...given: readonly unknown[]) {
    super(...((given.length === 0 ? [RightDate.now() + wrongBy] : given) as [number]));
  }
  static override now(): number {
    return RightDate.now() + wrongBy;
  }
} as DateConstructor;
