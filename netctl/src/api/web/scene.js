// What the daemon tells, and what follows from two looks at it: how fast everything goes.

/** How long to wait between looks, and for one, in milliseconds. */
export const PERIOD = 2000;
const PATIENCE = 5000;
/** How many looks the rates of drops are taken over: they come in bursts, and are to be seen. */
const DROP_LOOKS = 6;
/** How many looks the little curve shows. */
const CURVE_LOOKS = 60;

/** One look. */
async function look() {
  const answer = await fetch("scene.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) {
    throw new Error(`the daemon answers with ${answer.status}`);
  }
  return answer.json();
}

/** Looks again and again, and remembers what it saw. */
export class Watcher {
  /** What was seen last, with rates. */
  scene = null;
  /** When that was, by this page's clock, and since when every look has failed. */
  heardAt = null;
  failed = false;
  /** The bits a second that the host carried, look by look. */
  curve = [];
  #looks = [];

  /** Looks once. */
  async look() {
    try {
      this.#take(await look());
      this.heardAt = performance.now();
      this.failed = false;
    } catch {
      // It says nothing that a person can use: the page says since when there was no answer.
      this.failed = true;
    }
  }

  /** How long ago the daemon was heard, in seconds. */
  get silence() {
    return this.heardAt === null ? null : (performance.now() - this.heardAt) / 1000;
  }

  #take(scene) {
    const last = this.#looks.at(-1);
    if (last && (last.started !== scene.started || last.elapsed_ms >= scene.elapsed_ms)) {
      // Another daemon: what it counts has begun anew.
      this.#looks = [];
    }
    const before = this.#looks.at(-1);
    this.#looks = [...this.#looks, scene].slice(-DROP_LOOKS);
    rate(scene, before, this.#looks[0]);
    if (before) {
      this.curve = [...this.curve, scene.bits].slice(-CURVE_LOOKS);
    }
    this.scene = scene;
  }
}

/** Says of each endpoint and each reason how fast it goes, `null` where that is not known yet. */
function rate(scene, before, first) {
  const seconds = before ? (scene.elapsed_ms - before.elapsed_ms) / 1000 : null;
  const known = new Map((before?.endpoints ?? []).map((endpoint) => [endpoint.id, endpoint]));
  scene.bits = before ? 0 : null;
  for (const endpoint of scene.endpoints) {
    const old = known.get(endpoint.id);
    endpoint.counted = endpoint.received !== null;
    endpoint.rates = null;
    if (!endpoint.counted || !old?.received) {
      continue;
    }
    const each = (direction, what) => moved(endpoint[direction][what], old[direction][what]) / seconds;
    endpoint.rates = {
      received: { bits: each("received", "bytes") * 8, packets: each("received", "packets") },
      sent: { bits: each("sent", "bytes") * 8, packets: each("sent", "packets") },
      lost: each("received", "dropped") + each("sent", "dropped"),
    };
    endpoint.bits = endpoint.rates.received.bits + endpoint.rates.sent.bits;
    scene.bits += endpoint.bits;
  }
  between(scene);
  const span = (scene.elapsed_ms - first.elapsed_ms) / 1000;
  losses(scene, first, span);
  const reason = (drop) => `${drop.program} ${drop.counter}`;
  const counted = new Map(first.drops.map((drop) => [reason(drop), drop.packets]));
  scene.dropRate = span > 0 ? 0 : null;
  for (const drop of scene.drops) {
    drop.rate = span > 0 ? moved(drop.packets, counted.get(reason(drop)) ?? 0) / span : null;
    scene.dropRate += drop.rate ?? 0;
  }
  if (span <= 0) {
    scene.dropRate = null;
  }
}

/** Says of each pair, and of each way between two places, how fast it goes. */
function between(scene) {
  const seconds = (scene.traffic?.over_ms ?? 0) / 1000;
  const paced = (each) => ({ ...each, rate: (each.bytes * 8) / seconds, pace: each.packets / seconds });
  scene.pairs = seconds > 0 ? scene.traffic.pairs.map(paced) : [];
  scene.ways = seconds > 0 ? scene.traffic.ways.map(paced) : [];
}

/** Says of each sender's drops how fast they come, and of each endpoint, how many there are of its own. */
function losses(scene, first, span) {
  const which = (loss) => `${loss.device} ${loss.program} ${loss.counter}`;
  const counted = new Map(first.losses.map((loss) => [which(loss), loss.packets]));
  const of = new Map(scene.endpoints.map((endpoint) => [endpoint.id, endpoint]));
  for (const endpoint of scene.endpoints) {
    endpoint.dropped = span > 0 && endpoint.counted ? 0 : null;
  }
  for (const loss of scene.losses) {
    loss.key = which(loss);
    loss.rate = span > 0 ? moved(loss.packets, counted.get(loss.key) ?? 0) / span : null;
    const endpoint = of.get(loss.endpoint);
    if (endpoint && loss.rate !== null) {
      endpoint.dropped += loss.rate;
    }
  }
}

/** Where an end is, as the boxes of the map are called; `null` where that is not known. */
export function placeKey({ host, vtep }) {
  if (host !== null) {
    return `host ${host}`;
  }
  return vtep === null ? null : `outside ${vtep}`;
}

/** How much was added; what was counted anew began at 0. */
function moved(now, before) {
  return now >= before ? now - before : now;
}

/** Bits a second, for people. */
export function bits(value) {
  return quantity(value, ["b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s"]);
}

/** So many a second, for people. */
export function perSecond(value) {
  return quantity(value, ["/s", "k/s", "M/s", "G/s"]);
}

function quantity(value, units) {
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  const digits = value >= 99.5 || value === 0 || (unit === 0 && value >= 9.95) ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`.replace(" /", "/");
}

/** A whole number, for people. */
export function count(value) {
  return value.toLocaleString("en");
}

/** Some seconds, for people. */
export function time(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 120) {
    return `${whole} s`;
  }
  return whole < 7200 ? `${Math.floor(whole / 60)} min` : `${Math.floor(whole / 3600)} h`;
}

/** Whether a person who writes `words` means the endpoint. */
export function matches(scene, endpoint, words) {
  const network = scene.networks[endpoint.network].name;
  const host = endpoint.host ?? endpoint.vtep ?? "";
  const text = [endpoint.name, ...endpoint.aliases, network, host, ...endpoint.addresses, endpoint.mac ?? ""];
  const all = text.join(" ").toLowerCase();
  return words.every((word) => all.includes(word));
}
