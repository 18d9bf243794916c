/** How much is measured: the full bench, and a quick one that only shows that everything works. */
export interface Sizes {
  /** One after the other, over all systems. */
  rounds: number;
  secondsEach: number;
  warmUpSeconds: number;
  connections: number;
  wrkThreads: number;
  /** Each wins once in a run, so this must be more than a run can serve. */
  users: number;
  sellOut: number;
  /** Claims that wait for MySQL when persist begins. */
  burst: number;
  packPrizes: number;
  packUsers: number;
}

export const FULL: Sizes = Object.freeze({
  rounds: 3,
  secondsEach: 4,
  warmUpSeconds: 5,
  connections: 256,
  wrkThreads: 1,
  users: 220_000,
  sellOut: 100_000,
  burst: 100_000,
  packPrizes: 1_000_000,
  packUsers: 150_000,
});

export const QUICK: Sizes = Object.freeze({
  rounds: 1,
  secondsEach: 1,
  warmUpSeconds: 1,
  connections: 128,
  wrkThreads: 1,
  users: 70_000,
  sellOut: 10_000,
  burst: 20_000,
  packPrizes: 100_000,
  packUsers: 15_000,
});
