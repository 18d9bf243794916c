/** Prometheus' text form, as far as a check needs it: names, labels, values. */
export interface Gauge {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;

export function gauges(text: string): Gauge[] {
  return text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = LINE.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, key, found]) => [key, found]);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
  });
}

/** The first of a name; null when there is none. */
export function gauge(list: readonly Gauge[], name: string): number | null {
  return list.find((each) => each.name === name)?.value ?? null;
}
