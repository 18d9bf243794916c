/** A column of whole numbers in a file: in memory when it fits, else read page by page through an LRU cache. */
import { closeSync, openSync, readSync } from "node:fs";
import { LRUCache } from "lru-cache";
import { BadInput } from "./errors.ts";

export interface Column {
  /** The number at a position, which the caller has checked. */
  at(position: number): number;
  close(): void;
}

const PAGE_BYTES = 64 * 1024;
/** One read of the system; larger ones are refused by some. */
const READ_BYTES_MAX = 256 * 1024 * 1024;

type Numbers = Uint32Array | Uint16Array;

/** Opens a column of `count` little-endian numbers of `width` bytes; `memoryBytesMax` bounds what is held. */
export function openColumn(path: string, width: 2 | 4, count: number, memoryBytesMax: number): Column {
  const file = openSync(path, "r");
  if (count * width > memoryBytesMax) return pagedColumn(file, path, width, count, memoryBytesMax);
  try {
    const numbers = readNumbers(file, path, width, 0, count);
    return { at: (position) => numbers[position]!, close() {} };
  } finally {
    closeSync(file);
  }
}

function pagedColumn(
  file: number,
  path: string,
  width: 2 | 4,
  count: number,
  memoryBytesMax: number,
): Column {
  const perPage = PAGE_BYTES / width;
  const pages = new LRUCache<number, Numbers>({ max: Math.max(1, Math.floor(memoryBytesMax / PAGE_BYTES)) });
  return {
    at(position) {
      const page = Math.floor(position / perPage);
      let numbers = pages.get(page);
      if (!numbers) {
        numbers = readNumbers(file, path, width, page * perPage, Math.min(perPage, count - page * perPage));
        pages.set(page, numbers);
      }
      return numbers[position - page * perPage]!;
    },
    close() {
      pages.clear();
      closeSync(file);
    },
  };
}

function readNumbers(file: number, path: string, width: 2 | 4, first: number, count: number): Numbers {
  const numbers = width === 4 ? new Uint32Array(count) : new Uint16Array(count);
  const bytes = new Uint8Array(numbers.buffer);
  for (let done = 0; done < bytes.length;) {
    const wanted = Math.min(READ_BYTES_MAX, bytes.length - done);
    const length = readSync(file, bytes, done, wanted, first * width + done);
    if (length === 0)
      throw new BadInput(`${path}: ends at byte ${first * width + done}, expected ${count} numbers`);
    done += length;
  }
  return numbers;
}
