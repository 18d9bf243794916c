/** Finds server programs; Debian keeps some of them where an ordinary user's PATH does not look. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { Unreachable } from "@hongbao/preprocess";

const SYSTEM_DIRS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The PATH with the system directories at its end. */
export function serverPath(): string {
  const own = (process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin")
    .split(delimiter)
    .filter((dir) => dir !== "");
  return [...own, ...SYSTEM_DIRS.filter((dir) => !own.includes(dir))].join(delimiter);
}

/** The first of these programs that exists; null when none does. */
export function findBinary(...names: string[]): string | null {
  for (const name of names) {
    for (const dir of serverPath().split(delimiter)) {
      const path = join(dir, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here; look further.
      }
    }
  }
  return null;
}

export function needBinary(debianPackage: string, ...names: string[]): string {
  const path = findBinary(...names);
  if (path === null) throw new Unreachable(`${names[0]} is not installed (apt-get install ${debianPackage})`);
  return path;
}
