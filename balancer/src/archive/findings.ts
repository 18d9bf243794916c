/** What a check of an archive found: sentences, bounded, because a damaged table may have a million faults. */
const LISTED_MAX = 1_000;

export class Findings {
  readonly #list: string[] = [];
  #unlisted = 0;

  add(what: string): void {
    if (this.#list.length < LISTED_MAX) this.#list.push(what);
    else this.#unlisted += 1;
  }

  all(): string[] {
    return this.#unlisted === 0
      ? [...this.#list]
      : [...this.#list, `${this.#unlisted} further findings are not listed`];
  }
}
