/** What an event asks of each endpoint, at each time: the shape of the crowd in requests a second. Pure. */
import type { Figures } from "./figures.ts";
import { pressPeak, pressRates, whenPressed, type PressPattern, type Stretch } from "./press.ts";

export interface EventShape {
  users: number;
  prizes: number;
  /** The prizes are given away in so many equal rounds. */
  rounds: number;
  /** Grabs a second at the peak, or how people press. */
  peak: { perSecond: number } | { pattern: PressPattern };
  /** Part of those who press first that have no connection yet. */
  lateShare: number;
  /** In which everybody opens the page, before an opening. */
  arrivalSeconds: number;
  /** Pictures and video of one user, on the CDN. */
  mediaBytes: number;
}

/** What the page does (balancer/site/schedule.js and machine.js, docs/site.md); a test holds it against them. */
export const PAGE = Object.freeze({
  /** rounds.json. */
  scheduleEverySeconds: 30,
  /** The start file in the last minute; then at a random moment of the first second, and every second until it has the key. */
  startEverySeconds: 10,
  startOpeningSeconds: 1,
  /** The edge holds a start file for a second, so the first answer may come without the key. */
  startAsks: 2,
  /** Early connects: in the last minute, but not in its last two seconds. */
  connectSeconds: 58,
  /** Whoever was told `ended` asks for the result once, between 1 and 10 s later. */
  resultSeconds: 9,
  /** Whoever has won asks for the list of wins once, between 8 and 25 s later. */
  winsSeconds: 17,
  /** The page itself: an HTML file, style sheets, modules, gzipped. */
  files: 16,
  bytes: 60_000,
  /** A start file or a schedule, with its head. */
  smallBytes: 900,
});

export type Phase = "before" | "opening" | "after";
export type Place = "balancer" | "cdn";

export interface EndpointLoad {
  id: string;
  what: string;
  phase: Phase;
  place: Place;
  perSecond: number;
  /** To the clients. */
  bytesPerSecond: number;
  why: string;
}

export interface Demand {
  shape: EventShape;
  /** Grabs a second at the peak. */
  grabs: number;
  roundPrizes: number;
  /** From the opening until the round's prizes are gone; infinite when they never are. */
  sellOutSeconds: number;
  connections: number;
  /** Handshakes a second: early ones before the opening, late ones at it. */
  handshakes: { before: number; opening: number };
  results: number;
  wins: number;
  sessions: number;
  endpoints: EndpointLoad[];
  /** Rates of grabs, from the opening. */
  presses: Stretch[];
  cdn: { perSecond: number; bitsPerSecond: number; requests: number; bytes: number };
  /** Out of the load balancer, over the event. */
  apiBytes: number;
}

export function demandOf(shape: EventShape, figures: Figures): Demand {
  const { users, prizes, rounds, lateShare, arrivalSeconds } = shape;
  const presses = grabRates(shape);
  const grabs = "pattern" in shape.peak ? pressPeak(shape.peak.pattern, users) : shape.peak.perSecond;
  const roundPrizes = Math.ceil(prizes / rounds);
  const winners = Math.min(users, roundPrizes);
  // Everybody may have been told `ended` before: repeats after the round are told so, too.
  const results = users / PAGE.resultSeconds;
  const wins = winners / PAGE.winsSeconds;
  const handshakes = {
    before: users / PAGE.connectSeconds,
    opening: Math.min(lateShare * grabs, lateShare * users),
  };
  const sessions = users / arrivalSeconds;
  const endpoints = endpointLoads({ shape, grabs, results, wins, sessions, handshakes }, figures);
  const cdnPeak = (phase: Phase): { perSecond: number; bytes: number } => {
    const own = endpoints.filter((load) => load.place === "cdn" && load.phase === phase);
    return {
      perSecond: sum(own.map((load) => load.perSecond)),
      bytes: sum(own.map((load) => load.bytesPerSecond)),
    };
  };
  const peaks = [cdnPeak("before"), cdnPeak("opening")];
  return {
    shape,
    grabs,
    roundPrizes,
    sellOutSeconds: sellOut(shape, roundPrizes),
    connections: users,
    handshakes,
    results,
    wins,
    sessions,
    endpoints,
    presses,
    cdn: {
      perSecond: Math.max(...peaks.map(({ perSecond }) => perSecond)),
      bitsPerSecond: 8 * Math.max(...peaks.map(({ bytes }) => bytes)),
      ...cdnTotals(shape),
    },
    apiBytes: apiTotal(shape, presses, figures),
  };
}

/** A given peak lasts until every user has pressed once and every prize is gone. */
function grabRates({ peak, users, prizes, rounds }: EventShape): Stretch[] {
  if ("pattern" in peak) return pressRates(peak.pattern, users);
  const { perSecond } = peak;
  return [{ fromSeconds: 0, toSeconds: Math.max(users, prizes / rounds) / perSecond, perSecond }];
}

/** Presses that win: a user's first ones, as many as there are prizes for each. A given peak goes on until they are gone. */
function sellOut({ peak, users }: EventShape, roundPrizes: number): number {
  if (!("pattern" in peak)) return roundPrizes / peak.perSecond;
  const presses = Math.min(peak.pattern.presses, Math.ceil(roundPrizes / users));
  return whenPressed(pressRates({ ...peak.pattern, presses }, users), roundPrizes);
}

function endpointLoads(
  of: Pick<Demand, "shape" | "grabs" | "results" | "wins" | "sessions" | "handshakes">,
  figures: Figures,
): EndpointLoad[] {
  const { users, arrivalSeconds, mediaBytes } = of.shape;
  const load = (
    id: string,
    phase: Phase,
    place: Place,
    perSecond: number,
    bytes: number,
    what: string,
    why: string,
  ): EndpointLoad => ({ id, what, phase, place, perSecond, bytesPerSecond: perSecond * bytes, why });
  const pages = users / arrivalSeconds;
  const schedule = users / PAGE.scheduleEverySeconds + users / PAGE.connectSeconds;
  const starts = (PAGE.startAsks * users) / PAGE.startOpeningSeconds;
  const handshakeBytes = figures.handshakeOutBytes.value;
  return [
    load(
      "page",
      "before",
      "cdn",
      pages * PAGE.files,
      PAGE.bytes / PAGE.files,
      "GET / and its files",
      `all users within ${arrivalSeconds} s, ${PAGE.files} files`,
    ),
    load(
      "media",
      "before",
      "cdn",
      mediaBytes > 0 ? pages : 0,
      mediaBytes,
      "pictures and video",
      `${(mediaBytes / 1e6).toFixed(1)} MB a user, within ${arrivalSeconds} s`,
    ),
    load(
      "session",
      "before",
      "balancer",
      of.sessions,
      400,
      "POST /v1/session",
      `all users within ${arrivalSeconds} s`,
    ),
    load(
      "schedule",
      "before",
      "cdn",
      schedule,
      PAGE.smallBytes,
      "GET /rounds.json",
      `every ${PAGE.scheduleEverySeconds} s, and once in the last minute`,
    ),
    load(
      "start-before",
      "before",
      "cdn",
      users / PAGE.startEverySeconds,
      PAGE.smallBytes,
      "GET /start/N.js",
      `every ${PAGE.startEverySeconds} s in the last minute`,
    ),
    load(
      "handshakes",
      "before",
      "balancer",
      of.handshakes.before,
      handshakeBytes,
      "TLS handshakes",
      `all users within the last ${PAGE.connectSeconds} s`,
    ),
    load(
      "start",
      "opening",
      "cdn",
      starts,
      PAGE.smallBytes,
      "GET /start/N.js",
      "all users within a second, and a second time",
    ),
    load(
      "handshakes-late",
      "opening",
      "balancer",
      of.handshakes.opening,
      handshakeBytes,
      "TLS handshakes",
      `of those who press, ${Math.round(of.shape.lateShare * 100)} % have no connection`,
    ),
    load(
      "grab",
      "opening",
      "balancer",
      of.grabs,
      figures.wonBytes.value,
      "POST /v1/rounds/N/grab",
      "the peak; each one a win, which costs most",
    ),
    load(
      "ended",
      "after",
      "balancer",
      of.grabs,
      figures.endedBytes.value,
      "POST … told `ended`",
      "they go on pressing at the same pace",
    ),
    load(
      "result",
      "after",
      "balancer",
      of.results,
      figures.resultBytes.value,
      "GET /v1/rounds/N/result",
      `all users once, within ${PAGE.resultSeconds} s`,
    ),
    load(
      "wins",
      "after",
      "balancer",
      of.wins,
      figures.winsBytes.value,
      "GET /v1/wins",
      `the winners once, within ${PAGE.winsSeconds} s`,
    ),
  ];
}

/** Over the event: the page and its media once a user, then what is asked again and again, for an arrival and a minute a round. */
function cdnTotals({ users, rounds, arrivalSeconds, mediaBytes }: EventShape): {
  requests: number;
  bytes: number;
} {
  const waits = arrivalSeconds + rounds * 60;
  const small =
    users * (waits / PAGE.scheduleEverySeconds + waits / PAGE.startEverySeconds + rounds * PAGE.startAsks);
  return {
    requests: users * (PAGE.files + (mediaBytes > 0 ? 1 : 0)) + small,
    bytes: users * (PAGE.bytes + mediaBytes) + small * PAGE.smallBytes,
  };
}

function apiTotal({ users, rounds }: EventShape, presses: Stretch[], figures: Figures): number {
  const grabs = sum(
    presses.map(({ fromSeconds, toSeconds, perSecond }) => (toSeconds - fromSeconds) * perSecond),
  );
  const each = grabs * figures.wonBytes.value + users * (figures.resultBytes.value + figures.winsBytes.value);
  return rounds * (each + users * figures.handshakeOutBytes.value);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
