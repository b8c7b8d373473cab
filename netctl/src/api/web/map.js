// The map: drawn anew where something came, went or moved, and else only told what goes on.

import { layout, shorten } from "./layout.js";
import { bits, count, matches, perSecond, placeKey } from "./scene.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const FONTS = { chip: "500 12px system-ui, sans-serif", title: "600 14px system-ui, sans-serif", small: "11px system-ui, sans-serif" };

const canvas = document.createElement("canvas").getContext("2d");

function measure(font) {
  return (text) => {
    canvas.font = font;
    return canvas.measureText(text).width;
  };
}

function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/** The class of a network's colour. */
export function colour(network) {
  return `n${network % 10}`;
}

function isDead(box) {
  return box.host?.alive === false;
}

/** How thick a line is that carries so many bits a second. */
function thickness(rate) {
  return rate > 0 ? Math.min(8, 1.5 + Math.log10(1 + rate / 1000)) : 1.5;
}

/** How much of a chip's edge is marked that carries so many bits a second: a tenth for each factor of ten. */
function share(rate) {
  return rate > 0 ? Math.min(1, Math.max(0.08, Math.log10(1 + rate) / 10)) : 0;
}

export class Scenery {
  #place;
  #chosen;
  #drawn = null;
  #signature = "";
  #chips = new Map();
  #hosts = new Map();
  #taps = [];
  #rails = [];
  #ways = [];
  #items = [];

  /** Draws in `place`; `chosen` is told of what a person picks. */
  constructor(place, chosen) {
    this.#place = place;
    this.#chosen = chosen;
    place.addEventListener("keydown", (event) => this.#key(event));
    place.addEventListener("click", (event) => {
      const item = event.target.closest("[data-key]");
      if (item) {
        this.#focusable(item);
        this.#chosen(item.dataset.key);
      }
    });
  }

  /** Shows the scene; `focus` is a network that the others are to step back for, `words` what is looked for. */
  show(scene, focus, words) {
    const width = Math.max(300, Math.floor(this.#place.clientWidth));
    const seen = layout(scene, width, measure(FONTS.chip));
    const signature = JSON.stringify([
      width,
      seen.height,
      scene.networks.map((network) => network.name),
      seen.boxes.map((box) => [box.key, box.host?.alive, box.host?.vteps, box.chips.map((chip) => [chip.endpoint.id, chip.text, chip.x, chip.y, chip.w])]),
    ]);
    if (signature !== this.#signature) {
      this.#draw(scene, seen);
      this.#signature = signature;
    }
    this.#tell(scene, focus, words);
  }

  #draw(scene, seen) {
    const focused = document.activeElement?.closest?.("#map [data-key]")?.dataset.key;
    this.#chips.clear();
    this.#hosts.clear();
    const svg = element("svg", {
      width: seen.width, height: seen.height, viewBox: `0 0 ${seen.width} ${seen.height}`,
      role: "group", "aria-labelledby": "map-title",
    });
    const lines = element("g", { class: "lines", "aria-hidden": "true" });
    for (const { network, x, y1, y2 } of seen.trunks) {
      lines.append(element("path", { class: `rail ${colour(network)}`, "data-network": network, d: `M${x} ${y1}V${y2}` }));
    }
    for (const { network, y, ends } of seen.rails) {
      const from = Math.min(...ends);
      lines.append(element("path", { class: `rail ${colour(network)}`, "data-network": network, d: `M${from} ${y}H${Math.max(...ends)}` }));
    }
    this.#taps = seen.taps.map((tap) => {
      const d = `M${tap.x} ${tap.y1}V${tap.y2}`;
      const line = element("path", { class: `tap ${colour(tap.network)}${isDead(tap.box) ? " dead" : ""}`, "data-network": tap.network, d });
      const flow = element("path", { class: "flow", d });
      lines.append(line, flow);
      lines.append(element("circle", { class: `stop ${colour(tap.network)}`, "data-network": tap.network, cx: tap.x, cy: tap.y1, r: 3.5 }));
      return { ...tap, line, flow };
    });
    svg.append(lines);
    this.#ways = seen.ways.map(({ key, box, d }) => {
      const line = element("path", { class: "way", d });
      const flow = element("path", { class: "flow", d });
      const label = element("text", { class: "carries", x: box.x + 26, y: box.y + box.h + 15 });
      const group = element("g", { class: "between" }, line, flow, label);
      svg.append(group);
      return { key, box, group, line, flow, label };
    });
    for (const box of seen.boxes) {
      svg.append(this.#box(scene, box));
    }
    const ports = element("g", { class: "lines", "aria-hidden": "true" });
    for (const { network, box, x, y2 } of seen.taps) {
      const kind = `port ${colour(network)}${isDead(box) ? " dead" : ""}`;
      ports.append(element("circle", { class: kind, "data-network": network, cx: x, cy: y2, r: 3.5 }));
    }
    svg.append(ports);
    this.#rails = [...svg.querySelectorAll("[data-network]")];
    this.#drawn = seen;
    this.#place.replaceChildren(svg);
    this.#items = [...svg.querySelectorAll("[data-key]")];
    const again = this.#items.find((item) => item.dataset.key === focused);
    this.#focusable(again ?? this.#items[0]);
    again?.focus({ preventScroll: true });
  }

  #box(scene, box) {
    const dead = isDead(box);
    const kind = box.kind === "host" ? (dead ? "host dead" : box.own ? "host own" : "host") : box.kind;
    const group = element("g", {
      class: `box ${kind}`, transform: `translate(${box.x} ${box.y})`,
      role: "button", tabindex: -1, "data-key": box.key,
    });
    group.append(element("rect", { class: "frame", width: box.w, height: box.h, rx: 10 }));
    const note = { host: dead ? "unreachable" : box.own ? "this host" : (box.host?.vteps[0] ?? ""), outside: "not of netctl", nowhere: "" }[box.kind];
    const room = box.w - 44;
    const noted = measure(FONTS.small)(note) + 12 < room - Math.min(room, measure(FONTS.title)(box.title)) || dead ? note : "";
    const title = shorten(box.title, room - (noted ? measure(FONTS.small)(noted) + 10 : 0), measure(FONTS.title));
    group.append(element("circle", { class: "lamp", cx: 17, cy: 18, r: 4 }));
    group.append(element("text", { class: "title", x: 29, y: 23 }, title));
    group.append(element("text", { class: "note", x: box.w - 12, y: 22, "text-anchor": "end" }, noted));
    if (box.chips.length === 0) {
      const none = box.host?.endpoints > 0 ? `${count(box.host.endpoints)} services` : "no services here";
      group.append(element("text", { class: "none", x: 17, y: 45 }, shorten(none, box.w - 30, measure(FONTS.small))));
    }
    let strip = null;
    if (box.own) {
      strip = element("text", { class: "strip", x: 14, y: box.strip + 13 });
      const mark = element("rect", { class: "stripe", x: 1, y: box.strip - 3, width: box.w - 2, height: box.h - box.strip + 2, rx: 9 });
      group.append(mark, strip);
    }
    for (const chip of box.chips) {
      group.append(this.#chip(scene, box, chip));
    }
    const state = dead ? ", unreachable" : "";
    group.setAttribute("aria-label", `${box.kind === "host" ? "host " : ""}${box.title}${state}, ${box.endpoints.length} services`);
    this.#hosts.set(box.key, { group, strip, box });
    return group;
  }

  #chip(scene, box, { endpoint, text, x, y, w, h }) {
    const group = element("g", {
      class: `chip ${colour(endpoint.network)} ${box.named ? "named" : "square"}`, transform: `translate(${x} ${y})`,
      role: "button", tabindex: -1, "data-key": `endpoint ${endpoint.id}`,
    });
    group.append(element("rect", { width: w, height: h, rx: box.named ? 6 : 3 }));
    let [rate, level] = [null, null];
    if (box.named) {
      group.append(element("circle", { class: "dot", cx: 10, cy: h / 2, r: 3 }));
      group.append(element("text", { x: 18, y: h / 2 + 4 }, text));
      if (box.own && endpoint.counted) {
        rate = element("text", { class: "rate", x: w - 8, y: h / 2 + 4, "text-anchor": "end" });
        group.append(rate);
      }
      level = element("rect", { class: "level", x: 6, y: h - 2.5, width: 0, height: 2.5, rx: 1.25 });
      group.append(level);
    }
    group.append(element("title", {}, `${endpoint.name}.${scene.networks[endpoint.network].name}`));
    this.#chips.set(endpoint.id, { group, rate, level, w });
    return group;
  }

  /** Says what goes on, without moving anything. */
  #tell(scene, focus, words) {
    const carried = new Map();
    for (const endpoint of scene.endpoints) {
      const chip = this.#chips.get(endpoint.id);
      if (!chip) {
        continue;
      }
      const { rates } = endpoint;
      const rate = rates ? endpoint.bits : 0;
      if (rates) {
        carried.set(endpoint.network, (carried.get(endpoint.network) ?? 0) + rate);
      }
      const losing = (rates?.lost ?? 0) + (endpoint.dropped ?? 0);
      const lost = losing > 0;
      const aside = (focus !== null && endpoint.network !== focus) || !matches(scene, endpoint, words);
      chip.group.classList.toggle("aside", aside);
      chip.group.classList.toggle("lost", lost);
      chip.group.classList.toggle("busy", rate > 0);
      chip.level?.setAttribute("width", ((chip.w - 12) * share(rate)).toFixed(1));
      if (chip.rate) {
        chip.rate.textContent = lost ? `−${perSecond(losing)}` : rate > 0 ? bits(rate) : "";
      }
      const network = scene.networks[endpoint.network].name;
      const going = rates ? `, ${bits(rate)}${lost ? `, ${perSecond(losing)} lost` : ""}` : "";
      chip.group.setAttribute("aria-label", `service ${endpoint.name} of ${network}${going}`);
    }
    for (const { network, box, line, flow } of this.#taps) {
      const rate = box.own ? (carried.get(network) ?? 0) : 0;
      const wide = thickness(rate);
      line.setAttribute("stroke-width", wide.toFixed(1));
      flow.setAttribute("stroke-width", Math.max(1.2, wide - 2).toFixed(1));
      flow.classList.toggle("on", rate > 0);
    }
    for (const line of this.#rails) {
      const network = Number(line.dataset.network);
      line.classList.toggle("aside", focus !== null && network !== focus);
      line.classList.toggle("busy", (carried.get(network) ?? 0) > 0);
    }
    this.#between(scene);
    for (const { group, strip, box } of this.#hosts.values()) {
      if (strip) {
        const worst = scene.drops.filter((drop) => drop.rate > 0).sort((a, b) => b.rate - a.rate);
        group.classList.toggle("dropping", worst.length > 0);
        const more = worst.length > 1 ? ` and ${worst.length - 1} more` : "";
        const all = worst.length > 0 ? `drops ${perSecond(scene.dropRate)}: ${worst[0].counter}${more}` : scene.dropRate === null ? "" : "drops nothing";
        strip.textContent = shorten(all, box.w - 28, measure(FONTS.small));
      }
    }
  }

  /** Says what goes between this host and each other place; a way that carries nothing is not to be seen. */
  #between(scene) {
    const here = `host ${scene.host}`;
    const rates = new Map();
    for (const { source, destination, rate } of scene.ways) {
      const [from, to] = [placeKey(source), placeKey(destination)];
      const [other, direction] = from === here ? [to, "gets"] : [from, "sends"];
      const known = rates.get(other) ?? { gets: 0, sends: 0 };
      known[direction] += rate;
      rates.set(other, known);
    }
    for (const { key, box, group, line, flow, label } of this.#ways) {
      const { gets, sends } = rates.get(key) ?? { gets: 0, sends: 0 };
      const wide = thickness(gets + sends);
      group.classList.toggle("on", gets + sends > 0);
      line.setAttribute("stroke-width", wide.toFixed(1));
      flow.setAttribute("stroke-width", Math.max(1.2, wide - 2).toFixed(1));
      flow.classList.toggle("on", gets + sends > 0);
      const whole = `gets ${bits(gets)}, sends ${bits(sends)}`;
      const fits = measure(FONTS.small)(whole) < box.w - 30;
      label.textContent = gets + sends === 0 ? "" : fits ? whole : bits(gets + sends);
      group.setAttribute("data-carries", label.textContent);
    }
  }

  /** Of all that can be reached by keys, Tab leads to one, and arrows from there. */
  #focusable(item) {
    for (const other of this.#items) {
      other.setAttribute("tabindex", other === item ? 0 : -1);
    }
  }

  #key(event) {
    const place = this.#items.indexOf(document.activeElement);
    if (place < 0) {
      return;
    }
    const isBox = (item) => item.classList.contains("box");
    const last = this.#items.length - 1;
    const goal = {
      ArrowRight: () => Math.min(last, place + 1),
      ArrowLeft: () => Math.max(0, place - 1),
      ArrowDown: () => this.#items.findIndex((item, at) => at > place && isBox(item)),
      ArrowUp: () => this.#items.findLastIndex((item, at) => at < place && isBox(item)),
      Home: () => 0,
      End: () => last,
    }[event.key];
    if (goal) {
      event.preventDefault();
      const item = this.#items[goal()];
      if (item) {
        this.#focusable(item);
        item.focus();
      }
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#chosen(this.#items[place].dataset.key);
    }
  }
}
