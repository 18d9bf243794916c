/** Faults that can be planted in the simulator's models, one for each way of breaking a promise that it must find. */
export const BUGS = [
  "a known claim pops again",
  "closing is not compared",
  "seq is not compared",
  "the journal has no bound",
  "a move is not noted",
  "stock enters before it is recorded",
  "entries are acknowledged before the commit",
  "a rebuild burns too little",
  "a record is written without comparing",
  "a wallet is asked with a new key each time",
  "a claim is paid without looking whether it was",
] as const;

export type Bug = (typeof BUGS)[number];
