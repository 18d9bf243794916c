/** Lines of comma-separated values (RFC 4180), as the archive writes and reads them. */
import type { Cell } from "@hongbao/bucket-service";

/** NULL is an empty cell, an empty text is "". */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(cellText).join(",")}\n`;
}

function cellText(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  return cell === "" || /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** The cells of a line without its end; null is NULL. Throws RangeError for a quote that does not belong there. */
export function csvCells(line: string): (string | null)[] {
  if (!line.includes('"')) return line.split(",").map((text) => (text === "" ? null : text));
  const cells: (string | null)[] = [];
  for (let at = 0; ;) {
    if (line[at] === '"') {
      const quoted = /^"((?:[^"]|"")*)"(?=,|$)/.exec(line.slice(at));
      if (quoted === null) throw new RangeError(`a quote that does not end: ${line.slice(at, at + 40)}`);
      cells.push(quoted[1]!.replaceAll('""', '"'));
      at += quoted[0].length;
    } else {
      const comma = line.indexOf(",", at);
      const text = line.slice(at, comma < 0 ? line.length : comma);
      cells.push(text === "" ? null : text);
      at += text.length;
    }
    if (at >= line.length) return cells;
    at += 1;
  }
}

/** Whole lines out of pieces of text: a line end inside quotes is not one. */
export async function* csvLines(pieces: AsyncIterable<string>): AsyncGenerator<string[]> {
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    const whole: string[] = [];
    let open = "";
    for (const line of lines) {
      const text = open === "" ? line : `${open}\n${line}`;
      if (isClosed(text)) {
        whole.push(text);
        open = "";
      } else open = text;
    }
    if (open !== "") rest = `${open}\n${rest}`;
    if (whole.length > 0) yield whole;
  }
  if (rest !== "") throw new RangeError(`the last line is cut: ${rest.slice(0, 40)}`);
}

function isClosed(text: string): boolean {
  return !text.includes('"') || (text.split('"').length & 1) === 1;
}
