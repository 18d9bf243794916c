/**
 * A move takes prize IDs that nobody has from one bucket and round to another: it leaves there (`out`) and comes here
 * (`in`). Each side notes it in its Redis, in the hash `moves`:
 *
 *   field  <move ID>/<out|in>
 *   value  <kind> <round> <peer bucket> <peer round> <lo:count> <lo:count> …       (no runs: nothing was left to move)
 *
 * The same facts stand in MySQL's range_moves, but for moves of nothing. A bucket's own round is `round`; the peer is where
 * the IDs went to, or came from.
 */
import type { Run } from "./runs.ts";

/** lend: to the same round of another bucket. roll: to a later round of the same bucket. release: burned IDs come back. */
export const MOVE_KINDS = ["lend", "roll", "release"] as const;
export type MoveKind = (typeof MOVE_KINDS)[number];
export type Direction = "out" | "in";

/** What one side knows of a move. */
export interface MoveNote {
  id: string;
  direction: Direction;
  kind: MoveKind;
  round: number;
  peerBucket: string;
  peerRound: number;
  runs: Run[];
}

export const MOVE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function noteField({ id, direction }: Pick<MoveNote, "id" | "direction">): string {
  return `${id}/${direction}`;
}

/** The note's first words; leave.lua adds the runs that it cuts. */
export function noteHead({ kind, round, peerBucket, peerRound }: Omit<MoveNote, "runs">): string {
  return `${kind} ${round} ${peerBucket} ${peerRound}`;
}

export function noteText(note: MoveNote): string {
  return [noteHead(note), ...note.runs.map(({ lo, count }) => `${lo}:${count}`)].join(" ");
}

/** Errors: a plain Error that shows a note that is not of this form. */
export function readNote(field: string, text: string): MoveNote {
  const [, id, direction] = /^(.+)\/(out|in)$/.exec(field) ?? [];
  const [kind, round, peerBucket, peerRound, ...runs] = text.split(" ");
  const isWhole = runs.every((run) => /^\d+:\d+$/.test(run)) && /^\d+ \d+$/.test(`${round} ${peerRound}`);
  if (id === undefined || !MOVE_KINDS.includes(kind as MoveKind) || !isWhole) {
    throw new Error(`note of a move is damaged: found "${field}" = "${text.slice(0, 60)}"`);
  }
  return {
    id,
    direction: direction as Direction,
    kind: kind as MoveKind,
    round: Number(round),
    peerBucket: peerBucket!,
    peerRound: Number(peerRound),
    runs: runs.map((run) => {
      const [lo, count] = run.split(":").map(Number);
      return { lo: lo!, count: count! };
    }),
  };
}

/** The notes of HGETALL's flat list. */
export function readNotes(flat: readonly string[]): MoveNote[] {
  return Array.from({ length: flat.length >> 1 }, (_, i) => readNote(flat[2 * i]!, flat[2 * i + 1]!));
}
