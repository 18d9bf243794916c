/** Numbers as people read them, by Grafana's names of units. */

const SI = ["", "k", "M", "G", "T"];
const BINARY = ["", "Ki", "Mi", "Gi", "Ti"];

/** Three digits that matter, without zeros at the end. */
function digits(value, decimals) {
  if (decimals !== undefined && decimals !== null) return value.toFixed(decimals);
  const size = Math.abs(value);
  const places = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return String(Number(value.toFixed(places)));
}

function scaled(value, base, prefixes) {
  let rest = value;
  let index = 0;
  while (Math.abs(rest) >= base && index < prefixes.length - 1) {
    rest /= base;
    index += 1;
  }
  return [rest, prefixes[index]];
}

function seconds(value) {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 0.001) return `${digits(value * 1e6)} µs`;
  if (size < 1) return `${digits(value * 1000)} ms`;
  if (size < 120) return `${digits(value)} s`;
  if (size < 7200) return `${digits(value / 60)} min`;
  if (size < 172_800) return `${digits(value / 3600)} h`;
  return `${digits(value / 86_400)} d`;
}

function grouped(value, decimals) {
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** @param {number | null} value */
export function format(value, unit, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  switch (unit) {
    case "s":
      return seconds(value);
    case "percentunit":
      return `${digits(value * 100, decimals)} %`;
    case "bytes":
    case "Bps": {
      const [rest, prefix] = scaled(value, 1024, BINARY);
      return `${digits(rest)} ${prefix}B${unit === "Bps" ? "/s" : ""}`;
    }
    case "reqps":
    case "cps":
    case "ops": {
      const [rest, prefix] = scaled(value, 1000, SI);
      return `${digits(rest)}${prefix === "" ? "" : ` ${prefix}`}/s`;
    }
    default: {
      if (decimals !== undefined && decimals !== null && Math.abs(value) < 1e7)
        return grouped(value, decimals);
      if (Number.isInteger(value) && Math.abs(value) < 1e6) return grouped(value, 0);
      const [rest, prefix] = scaled(value, 1000, SI);
      return `${digits(rest)}${prefix === "" ? "" : ` ${prefix}`}`;
    }
  }
}

/** Even marks of an axis from 0 to at least `max`, about `count` of them. */
export function ticks(max, unit, count = 4) {
  if (!(max > 0)) return [0, 1];
  const base = unit === "bytes" || unit === "Bps" ? 1024 ** Math.floor(Math.log(max) / Math.log(1024)) : 1;
  const rough = max / base / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough) * base;
  const marks = [];
  for (let index = 0; index * step < max + step; index += 1) marks.push(index * step);
  return marks;
}

export function clock(ms, withSeconds) {
  return new Date(ms).toLocaleTimeString("sv-SE", {
    hour: "2-digit",
    minute: "2-digit",
    ...(withSeconds ? { second: "2-digit" } : {}),
  });
}
