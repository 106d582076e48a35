// How often a property is tried.

/**
 * As often as it says in `npm test`; a tenth of that in `npm run check` (COUNTERSIGN_TEST_RUNS=few), which is run on
 * every save; COUNTERSIGN_TEST_RUNS=1000000 tries each a million times.
 */
export const runs = (usual: number): { readonly numRuns: number } => {
  const { COUNTERSIGN_TEST_RUNS: wanted = usual } = process.env;
  return { numRuns: wanted === 'few' ? Math.ceil(usual / 10) : Number(wanted) };
};

/** Milliseconds that such a test may take, generously. */
export const runsTimeout = (usual: number): number => 30_000 + runs(usual).numRuns * 5;
