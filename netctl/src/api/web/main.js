// The page: what is seen goes to the map, the tables and the figures, and what a person wants to see to all of them.

import { Scenery, colour } from "./map.js";
import { PERIOD, Watcher, bits, count, matches, perSecond, time } from "./scene.js";
import { Table } from "./tables.js";

const get = (id) => document.getElementById(id);
const watcher = new Watcher();
const map = new Scenery(get("map"), choose);
/** The network that the others step back for, by name; what is looked for; what is told of in detail. */
let focus = null;
let words = [];
let chosen = null;

const network = (endpoint) => watcher.scene.networks[endpoint.network].name;
const place = (endpoint) => endpoint.host ?? endpoint.vtep ?? "";
const rateOf = (direction) => (endpoint) => endpoint.rates?.[direction].bits ?? null;
const end = ({ service, host, vtep }) => `${service ?? "another subnet or station"}${host === null && vtep === null ? "" : ` on ${host ?? vtep}`}`;
const sender = (loss) => (loss.service === null ? `came by ${loss.device ?? "a device that is gone"}` : `${loss.service}.${loss.network}`);
const shown = (value, how) => (value === null || value === undefined ? "" : how(value));

/** How much is dropped now, and why: columns of both tables of it. */
const now = {
  title: "Now", of: (drop) => drop.rate, number: true,
  text: (drop) => shown(drop.rate, perSecond),
  mark: (drop) => (drop.rate > 0 ? "bad" : ""),
};
const why = [
  { title: "Reason", of: (drop) => drop.counter, kind: "code" },
  { title: "Program", of: (drop) => drop.program, kind: "code" },
  { title: "What it means", of: (drop) => drop.description, kind: "wide" },
];

const tables = {
  services: new Table(
    get("services"), "Services",
    [
      { title: "Service", of: (endpoint) => endpoint.name },
      { title: "Network", of: network, mark: (endpoint) => colour(endpoint.network), kind: "of-network" },
      { title: "Host", of: place, mark: (endpoint) => (isDead(endpoint.host) ? "dead" : ""), text: placeText },
      { title: "Address", of: (endpoint) => endpoint.addresses.join(" "), kind: "code" },
      { title: "Receives", of: rateOf("received"), text: (endpoint) => shown(rateOf("received")(endpoint), bits), number: true },
      { title: "Sends", of: rateOf("sent"), text: (endpoint) => shown(rateOf("sent")(endpoint), bits), number: true },
      {
        title: "Loses", of: (endpoint) => endpoint.rates?.lost ?? null, number: true,
        text: (endpoint) => shown(endpoint.rates?.lost, perSecond),
        mark: (endpoint) => (endpoint.rates?.lost > 0 ? "bad" : ""),
      },
      {
        title: "Dropped", of: (endpoint) => endpoint.dropped, number: true,
        text: (endpoint) => shown(endpoint.dropped, perSecond),
        mark: (endpoint) => (endpoint.dropped > 0 ? "bad" : ""),
      },
    ],
    (endpoint) => endpoint.id, 0, "No service is here to be seen.",
  ),
  pairs: new Table(
    get("pairs"), "Between services",
    [
      { title: "From", of: (pair) => end(pair.source) },
      { title: "To", of: (pair) => end(pair.destination) },
      { title: "Network", of: network, mark: (pair) => colour(pair.network), kind: "of-network" },
      { title: "Carries", of: (pair) => pair.rate, text: (pair) => bits(pair.rate), number: true },
      { title: "Packets", of: (pair) => pair.pace, text: (pair) => perSecond(pair.pace), number: true },
    ],
    (pair) => `${pair.network} ${end(pair.source)} ${end(pair.destination)}`, 3, "Nothing goes between services now.",
  ),
  losses: new Table(
    get("losses"), "Whose packets were dropped",
    [
      now,
      { title: "From", of: sender },
      ...why,
      { title: "Packets", of: (loss) => loss.packets, text: (loss) => count(loss.packets), number: true },
    ],
    (loss) => loss.key, 0, "Nothing was dropped while somebody looked.",
  ),
  drops: new Table(
    get("drops"), "Dropped packets",
    [
      now,
      ...why,
      { title: "Packets in all", of: (drop) => drop.packets, text: (drop) => count(drop.packets), number: true },
    ],
    (drop) => `${drop.program} ${drop.counter}`, 0, "Nothing was dropped.",
  ),
  hosts: new Table(
    get("hosts"), "Hosts",
    [
      { title: "Host", of: (host) => host.name },
      { title: "State", of: stateOf, mark: (host) => (host.alive === false ? "dead" : "") },
      { title: "Services", of: (host) => host.endpoints, text: (host) => count(host.endpoints), number: true },
      { title: "Address", of: (host) => host.vteps.join(" "), kind: "code" },
      { title: "MTU", of: (host) => host.mtu, text: (host) => shown(host.mtu, String), number: true },
      { title: "Version", of: (host) => host.version ?? "", kind: "code" },
    ],
    (host) => host.name, 0, "No host is known.",
  ),
};

function isDead(name) {
  return watcher.scene.hosts.some((host) => host.name === name && host.alive === false);
}

function placeText(endpoint) {
  if (endpoint.host !== null) {
    return isDead(endpoint.host) ? `${endpoint.host} (unreachable)` : endpoint.host;
  }
  return endpoint.vtep === null ? "attached nowhere" : `${endpoint.vtep} (not of netctl)`;
}

/** A published port, as `netctl service ls` writes it. */
function published({ address, host_port, port, transport }) {
  const at = address.includes(":") ? `[${address}]` : address;
  return host_port === null ? `${port}/${transport}` : `${at}:${host_port}->${port}/${transport}`;
}

function stateOf(host) {
  if (host.this) {
    return "this host";
  }
  return { true: "alive", false: "unreachable", null: "not known" }[host.alive];
}

function draw() {
  const { scene } = watcher;
  if (!scene) {
    return;
  }
  const at = scene.networks.findIndex((each) => each.name === focus);
  if (at < 0) {
    focus = null;
  }
  legend(scene);
  map.show(scene, focus === null ? null : at, words);
  const wanted = scene.endpoints.filter(
    (endpoint) => (focus === null || endpoint.network === at) && matches(scene, endpoint, words),
  );
  tables.services.show(wanted);
  tables.pairs.show(scene.pairs.filter((pair) => (focus === null || pair.network === at) && named(scene, pair)));
  get("pairs-count").textContent = scene.traffic?.left_out > 0 ? `the busiest ${count(scene.pairs.length)}; ${count(scene.traffic.left_out)} more` : "";
  tables.losses.show(scene.losses);
  tables.drops.show(scene.drops);
  tables.hosts.show(scene.hosts);
  const all = scene.endpoints.length;
  get("services-count").textContent = wanted.length === all ? count(all) : `${count(wanted.length)} of ${count(all)}`;
  figures(scene);
  details(scene);
}

/** Whether a person who looks for something means the pair. */
function named(scene, pair) {
  const text = `${end(pair.source)} ${end(pair.destination)} ${scene.networks[pair.network].name}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function figures(scene) {
  document.title = `${scene.host} · netctl`;
  get("host").textContent = scene.host;
  for (const name of document.querySelectorAll(".this-host")) {
    name.textContent = scene.host;
  }
  const dead = scene.hosts.filter((host) => host.alive === false).length;
  get("figure-hosts").textContent = dead > 0 ? `${scene.hosts.length - dead} of ${scene.hosts.length}` : count(scene.hosts.length);
  get("figure-hosts").classList.toggle("bad", dead > 0);
  get("figure-services").textContent = count(scene.endpoints.length + scene.left_out);
  get("figure-traffic").textContent = scene.bits === null ? "…" : bits(scene.bits);
  get("figure-drops").textContent = scene.dropRate === null ? "…" : perSecond(scene.dropRate);
  get("dropped").classList.toggle("bad", scene.dropRate > 0);
  const most = Math.max(1, ...watcher.curve);
  const points = watcher.curve.map((value, at) => `${(96 - (watcher.curve.length - 1 - at) * 1.6).toFixed(1)},${(22 - 20 * (value / most)).toFixed(1)}`);
  get("spark").firstElementChild.setAttribute("points", points.join(" "));
  get("legend").textContent =
    `What ${scene.host} knows: the networks that it takes part in, and where their services are. ` +
    `Thickness and movement are what the services on ${scene.host} carry now: above, to and from their networks; below, ` +
    `between ${scene.host} and each other host. What goes between others, their own pages tell.`;
}

/** The networks as buttons: one that is pressed has the others step back. */
function legend(scene) {
  const buttons = get("networks");
  const signature = JSON.stringify(scene.networks.map((each) => [each.name, each.endpoints]));
  if (buttons.dataset.of !== signature) {
    buttons.dataset.of = signature;
    buttons.replaceChildren(...scene.networks.map((each, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = colour(at);
      button.dataset.name = each.name;
      button.title = [each.driver, each.vni === null ? "" : `VNI ${each.vni}`, ...each.subnets, each.internal ? "internal" : ""].filter(Boolean).join(", ");
      const number = document.createElement("small");
      number.textContent = count(each.endpoints);
      button.append(each.name, " ", number);
      button.addEventListener("click", () => {
        focus = focus === each.name ? null : each.name;
        draw();
      });
      return button;
    }));
  }
  for (const button of buttons.children) {
    button.setAttribute("aria-pressed", String(button.dataset.name === focus));
  }
}

/** What is wrong, in sentences, and how it stands with the daemon. */
function notices() {
  const { scene, silence, failed } = watcher;
  const said = [];
  const gone = failed && (silence === null || silence > 2 * (PERIOD / 1000));
  if (gone) {
    const who = scene ? `The daemon of ${scene.host}` : "The daemon";
    const since = silence === null ? "does not answer" : `was last heard ${time(silence)} ago`;
    said.push(["bad", `${who} ${since}. Packets flow on; what is shown is how it was. See: systemctl status netctl`]);
  } else if (scene && scene.store.answers === false) {
    const since = scene.store.since === null ? "" : ` for ${time(Date.now() / 1000 - scene.store.since)}`;
    said.push(["warn", `The store (${scene.store.place}) has not answered${since}. Packets flow on; hosts and services are shown as they were known last.`]);
  } else if (scene && !scene.complete) {
    said.push(["warn", "Not all that the store says was heard yet."]);
  }
  if (scene && scene.left_out > 0) {
    said.push(["", `${count(scene.left_out)} more services are not shown one by one.`]);
  }
  if (scene && scene.complete && scene.networks.length === 0) {
    said.push(["", `${scene.host} takes part in no network yet. One with a service: netctl run --publish-service web.dev -- COMMAND`]);
  }
  const signature = JSON.stringify(said);
  const list = get("notices");
  if (list.dataset.of !== signature) {
    list.dataset.of = signature;
    list.replaceChildren(...said.map(([kind, text]) => {
      const line = document.createElement("p");
      line.className = kind;
      line.textContent = text;
      return line;
    }));
  }
  document.body.classList.toggle("gone", gone);
  const state = get("state");
  state.className = gone ? "bad" : scene ? (said.some(([kind]) => kind === "warn") ? "warn" : "good") : "";
  const text = gone
    ? silence === null ? "no answer" : `last heard ${time(silence)} ago`
    : scene ? `live, netctl ${scene.version}` : "no answer yet";
  if (state.lastElementChild.textContent !== text) {
    state.lastElementChild.textContent = text;
  }
}

function choose(key) {
  chosen = chosen === key ? null : key;
  if (watcher.scene) {
    details(watcher.scene);
  }
}

/** More of the one thing that was picked. */
function details(scene) {
  const card = get("details");
  const lines = chosen === null ? null : describe(scene, chosen);
  card.hidden = lines === null;
  if (lines === null) {
    chosen = null;
    card.dataset.of = "";
    return;
  }
  const signature = JSON.stringify(lines);
  if (card.dataset.of === signature) {
    return;
  }
  card.dataset.of = signature;
  const [title, ...rest] = lines;
  const head = document.createElement("h2");
  head.textContent = title;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => choose(chosen));
  const list = document.createElement("dl");
  for (const [term, text] of rest.filter(([, text]) => text)) {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    dd.textContent = text;
    list.append(dt, dd);
  }
  card.replaceChildren(head, close, list);
}

/** What of `all` is dropped now. */
function drops(all) {
  return all.filter((drop) => drop.rate > 0).map((drop) => `${drop.counter} ${perSecond(drop.rate)}`).join(", ");
}

function describe(scene, key) {
  const [kind, name] = [key.slice(0, key.indexOf(" ")), key.slice(key.indexOf(" ") + 1)];
  if (kind === "endpoint") {
    const endpoint = scene.endpoints.find((each) => each.id === name);
    if (!endpoint) {
      return null;
    }
    const way = (direction) => {
      const rate = endpoint.rates?.[direction];
      return rate ? `${bits(rate.bits)}, ${perSecond(rate.packets)}` : "";
    };
    const total = (direction) => {
      const carried = endpoint[direction];
      return carried ? `${count(carried.packets)} packets, ${count(carried.bytes)} bytes` : "";
    };
    return [
      `${endpoint.name}.${network(endpoint)}`,
      ["Host", placeText(endpoint)],
      ["Also called", endpoint.aliases.join(", ")],
      ["Address", endpoint.addresses.join(", ")],
      ["MAC", endpoint.mac ?? ""],
      ["Published", endpoint.ports.map(published).join(", ")],
      ["Receives", way("received")],
      ["Sends", way("sent")],
      ["Loses", endpoint.rates?.lost > 0 ? perSecond(endpoint.rates.lost) : ""],
      ["Drops", drops(scene.losses.filter((loss) => loss.endpoint === endpoint.id))],
      ["Received", total("received")],
      ["Sent", total("sent")],
      ["Id", endpoint.id.slice(0, 12)],
    ];
  }
  if (kind === "host") {
    const host = scene.hosts.find((each) => each.name === name);
    return host && [
      host.name,
      ["State", stateOf(host)],
      ["Address", host.vteps.join(", ")],
      ["MTU", shown(host.mtu, String)],
      ["Version", host.version ?? ""],
      ["Services", count(host.endpoints)],
      ["Drops", host.this ? drops(scene.drops) || "nothing" : ""],
    ];
  }
  return null;
}

get("filter").addEventListener("input", (event) => {
  words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  draw();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen !== null) {
    choose(chosen);
  }
});
new ResizeObserver(() => draw()).observe(get("map"));
setInterval(notices, 1000);

for (;;) {
  if (!document.hidden) {
    await watcher.look();
    draw();
    notices();
  }
  // The second look comes sooner: only then anything is known of rates.
  const pause = watcher.curve.length === 0 ? PERIOD / 2 : PERIOD;
  await new Promise((wake) => {
    const woken = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", woken);
      wake();
    };
    const timer = setTimeout(woken, pause);
    document.addEventListener("visibilitychange", woken);
  });
}
