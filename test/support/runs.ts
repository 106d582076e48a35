// How often a property is tried.

/** A few thousand in `npm test`; COUNTERSIGN_TEST_RUNS=1000000 tries a million. */
export const runs = (usual: number): { readonly numRuns: number } => ({
  numRuns: Number(process.env['COUNTERSIGN_TEST_RUNS'] ?? usual),
});

/** Milliseconds that such a test may take, generously. */
export const runsTimeout = (usual: number): number => 30_000 + runs(usual).numRuns * 5;
