// The operator's page: what "hongbao watch" shows, and the switches. The secret stays in this tab and goes nowhere but into the
// Authorization header of calls to the controller that served the page.
// @ts-check

const PULL_MS = 1_000;
const ASK_MS_MAX = 4_000;
const KEPT_SECRET = "hongbao-operator";
const KEPT_NAME = "hongbao-operator-name";

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);
/** @param {string} tag @param {string} [text] @param {string} [className] */
function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

let secret = sessionStorage.getItem(KEPT_SECRET) ?? "";
/** @type {Map<string, { issued: number, atMs: number, perS: number | null }>} By round: how fast its prizes go. */
const rates = new Map();
/** @type {any[]} */
let catalogue = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

class Refused extends Error {}

/** @param {string} path @param {object} [body] @returns {Promise<any>} */
async function ask(path, body) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ASK_MS_MAX),
    cache: "no-store",
  });
  if (response.status === 401) throw new Refused("This is not the operator secret.");
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.error ?? `the controller answered ${response.status}`);
  return answer;
}

/** @param {string} text */
function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = text === "";
}

/** @param {boolean} isIn */
function show(isIn) {
  at("enter").hidden = isIn;
  at("view").hidden = !isIn;
  at("leave").hidden = !isIn;
}

function leave() {
  secret = "";
  sessionStorage.removeItem(KEPT_SECRET);
  clearTimeout(timer);
  show(false);
  at("secret").focus();
}

async function look() {
  clearTimeout(timer);
  const used = secret;
  try {
    const [state, switches] = await Promise.all([ask("/admin/state"), ask("/admin/switches")]);
    if (used !== secret) return;
    sessionStorage.setItem(KEPT_SECRET, secret);
    trouble(state.store === "ok" ? "" : "The control store does not answer: nothing can be changed now.");
    draw(state, switches);
    show(true);
  } catch (error) {
    if (used !== secret) return;
    if (error instanceof Refused) {
      trouble(error.message);
      return leave();
    }
    trouble(
      `This controller does not answer (${/** @type {Error} */ (error).message}). What is shown may be old.`,
    );
  }
  timer = setTimeout(look, PULL_MS);
}

/** @param {number | null | undefined} count */
const number = (count) =>
  count === null || count === undefined ? "?" : Math.round(count).toLocaleString("en-US");
/** @param {number} ms */
const clock = (ms) => new Date(ms).toISOString().slice(11, 19) + "Z";
/** @param {number} ms */
function span(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const text = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return text.replace(/^00:/, "");
}

/** @param {any} state @param {any} switches */
function draw(state, switches) {
  at("event").textContent = `Event ${state.event}`;
  const time = state.nowMs === null ? "time unknown: no bucket within reach" : clock(state.nowMs);
  at("clock").textContent = `${time}, controller ${state.id}${state.leading ? " (leading)" : ""}`;
  const nowMs = state.nowMs ?? Date.now();
  drawRounds(state, nowMs);
  drawTraffic(state);
  drawBuckets(state);
  drawSwitches(switches);
}

/** @param {any[]} buckets @param {string} field */
const sum = (buckets, field) => buckets.reduce((total, bucket) => total + (bucket[field] ?? 0), 0);

/** @param {any} round */
function winsPerS({ round, buckets }) {
  const issued = sum(buckets, "issued");
  const nowMs = performance.now();
  const before = rates.get(round);
  const perS =
    before === undefined ? null : Math.max(0, ((issued - before.issued) * 1000) / (nowMs - before.atMs));
  rates.set(round, { issued, atMs: nowMs, perS });
  return perS;
}

/** @param {any} state @param {number} nowMs */
function drawRounds(state, nowMs) {
  const rows = state.rounds.map((/** @type {any} */ round) => {
    const { buckets, opensAtMs, closesAtMs } = round;
    const opens =
      opensAtMs === null
        ? "by command"
        : opensAtMs > nowMs
          ? `in ${span(opensAtMs - nowMs)}`
          : clock(opensAtMs);
    const closes =
      closesAtMs === null
        ? "by command"
        : closesAtMs > nowMs
          ? `in ${span(closesAtMs - nowMs)}`
          : clock(closesAtMs);
    return [
      String(round.round),
      round.state === "open" && !round.published ? "opening" : round.state,
      number(sum(buckets, "left")),
      number(sum(buckets, "issued")),
      number(winsPerS(round)),
      opens,
      closes,
      `${buckets.filter((/** @type {any} */ bucket) => bucket.current && bucket.reachable).length} of ${buckets.length}`,
    ];
  });
  // What people look at first must be seen on a phone without scrolling.
  drawTable(
    at("rounds"),
    ["Round", "State", "Left", "Issued", "Wins/s", "Opens", "Closes", "Buckets"],
    rows,
    [2, 3, 4],
  );
}

/** @param {any} state */
function drawTraffic({ balancers, rounds }) {
  const live = balancers.filter((/** @type {any} */ balancer) => balancer.v !== null);
  const perS = rounds.map((/** @type {any} */ { round }) => rates.get(round)?.perS ?? null);
  const wins = perS.includes(null)
    ? null
    : perS.reduce((/** @type {number} */ total, /** @type {number} */ each) => total + each, 0);
  const facts = [
    ["Requests/s at HAProxy", number(sum(live, "requestsPerS"))],
    ["Wins/s", number(wins)],
    ["HAProxies", `${live.length} of ${balancers.length}`],
  ];
  at("traffic").replaceChildren(
    ...facts.map(([name, value]) => {
      const fact = make("div");
      fact.append(make("dt", name), make("dd", value));
      return fact;
    }),
  );
}

/** @param {any} state */
function drawBuckets({ buckets, rounds }) {
  const rows = buckets.map((/** @type {any} */ bucket) => {
    const own = rounds.flatMap((/** @type {any} */ round) =>
      round.buckets.filter((/** @type {any} */ { id }) => id === bucket.id),
    );
    return [
      bucket.id,
      bucket.reachable ? "yes" : "NO",
      number(sum(own, "left")),
      number(sum(own, "issued")),
      number(bucket.lagRows),
      bucket.fenced === null ? (bucket.redis ?? "?") : `fenced: ${bucket.fenced}`,
      bucket.mysql,
      bucket.clockOffsetMs === null ? "?" : `${(bucket.clockOffsetMs / 1000).toFixed(1)} s`,
    ];
  });
  drawTable(
    at("buckets"),
    ["Bucket", "Reach", "Left", "Issued", "Journal", "Redis", "MySQL", "Clock"],
    rows,
    [2, 3, 4],
  );
}

/** @param {HTMLElement} table @param {string[]} heads @param {string[][]} rows @param {number[]} numbers */
function drawTable(table, heads, rows, numbers) {
  const line = (/** @type {string} */ tag, /** @type {string[]} */ cells) => {
    const row = make("tr");
    row.append(
      ...cells.map((cell, column) => {
        const isBad = tag === "td" && /^(NO|down|fenced)/.test(cell);
        return make(
          tag,
          cell,
          [numbers.includes(column) ? "number" : "", isBad ? "bad" : ""].join(" ").trim(),
        );
      }),
    );
    return row;
  };
  table.replaceChildren(line("th", heads), ...rows.map((row) => line("td", row)));
}

/** @param {any} switches */
function drawSwitches({ v, nowMs, settings, processes, balancers, catalogue: all }) {
  const isFirst = catalogue.length === 0;
  catalogue = all;
  if (isFirst) drawForm([...new Set(processes.map((/** @type {any} */ { bucket }) => bucket))]);
  const obey = (/** @type {any[]} */ list) => list.filter((each) => each.v !== null && each.v >= v).length;
  const behind = [...processes, ...balancers].filter((each) => each.v === null || each.v < v);
  at("obeyed").textContent =
    `Live in ${obey(processes)} of ${processes.length} processes and ${obey(balancers)} of ${balancers.length} HAProxies` +
    (behind.length === 0
      ? "."
      : `; not yet in ${behind.map(({ bucket, id }) => (bucket ? `${bucket}/${id}` : id)).join(", ")}.`);
  // A list that is drawn anew under a finger loses the click.
  const text = JSON.stringify(
    settings.map((/** @type {any} */ each) => ({ ...each, left: span(each.untilMs - nowMs) })),
  );
  if (at("switches").dataset.text === text) return;
  at("switches").dataset.text = text;
  at("switches").replaceChildren(...all.map((/** @type {any} */ each) => switchItem(each, settings, nowMs)));
}

/** @param {any} one @param {any[]} settings @param {number} nowMs */
function switchItem({ name, standard, effect }, settings, nowMs) {
  const item = make("li");
  const own = settings.filter((each) => each.name === name);
  const isForAll = own.some(({ bucket }) => bucket === null);
  const head = make("div");
  head.append(make("b", name), isForAll ? "" : ` ${standard}`);
  item.append(head, make("p", effect));
  for (const { bucket, value, untilMs, by, why } of own) {
    const line = make("div", undefined, "set");
    const where = bucket === null ? "all buckets" : `bucket ${bucket}`;
    const words = `${value} in ${where}, ${span(untilMs - nowMs)} left, by ${by}${why === "" ? "" : ` (${why})`}`;
    const button = make("button", "Clear");
    button.setAttribute("aria-label", `Clear ${name} in ${where}`);
    button.addEventListener(
      "click",
      () => void order({ name, value: null, bucket }, `Clear ${name} in ${where}?`),
    );
    line.append(make("span", words), button);
    item.append(line);
  }
  return item;
}

/** @param {unknown[]} buckets */
function drawForm(buckets) {
  const options = (/** @type {string[][]} */ pairs) =>
    pairs.map(([value, text]) => {
      const option = /** @type {HTMLOptionElement} */ (make("option", text));
      option.value = value ?? "";
      return option;
    });
  at("name").replaceChildren(...options(catalogue.map(({ name }) => [name, name])));
  at("bucket").replaceChildren(
    ...options([["", "all buckets"], ...buckets.map((id) => [String(id), `bucket ${String(id)}`])]),
  );
  const drawValue = () => {
    const { expected, effect } = catalogue.find(({ name }) => name === at("name").value);
    const words = expected.split(/, | or /);
    const isWords = words.every((/** @type {string} */ word) => /^[a-z]+$/.test(word));
    const field = isWords ? make("select") : make("input");
    if (isWords) field.replaceChildren(...options(words.map((/** @type {string} */ word) => [word, word])));
    field.id = "value";
    field.setAttribute("required", "");
    at("value-place").replaceChildren(field);
    at("effect").textContent = `${effect}${isWords ? "" : ` (${expected})`}`;
  };
  at("name").addEventListener("change", drawValue);
  drawValue();
}

/** @param {{ name: string, value: string | null, bucket: string | null, forMs?: number }} wish @param {string} question */
async function order(wish, question) {
  const by = at("by").value.trim();
  if (by === "") {
    at("said").textContent = "Say who you are first.";
    return at("by").focus();
  }
  if (!confirm(question)) return;
  sessionStorage.setItem(KEPT_NAME, by);
  try {
    await ask("/admin/switches", { ...wish, by, why: at("why").value.trim() });
    at("said").textContent =
      wish.value === null ? `${wish.name} is cleared.` : `${wish.name} is set to ${wish.value}.`;
    at("why").value = "";
  } catch (error) {
    at("said").textContent = /** @type {Error} */ (error).message;
  }
  await look();
}

at("enter").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  secret = at("secret").value.trim();
  at("secret").value = "";
  void look();
});
at("leave").addEventListener("click", () => {
  trouble("");
  leave();
});
at("set").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const [name, value, bucket] = [at("name").value, at("value").value.trim(), at("bucket").value || null];
  const where = bucket === null ? "all buckets" : `bucket ${bucket}`;
  const forText = at("for").selectedOptions[0].textContent.trim();
  const question = `Set ${name} to ${value} in ${where} for ${forText}?`;
  void order({ name, value, bucket, forMs: Number(at("for").value) }, question);
});

at("by").value = sessionStorage.getItem(KEPT_NAME) ?? "";
if (secret !== "") void look();
else at("secret").focus();
