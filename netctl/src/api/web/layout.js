// Where everything stands on the map. Hosts are boxes in rows; above each row run its networks as rails, which a trunk at the
// left joins from row to row; from the rail of each of its networks a tap leads down to a host. So nothing crosses a box,
// however many there are.

const GAP = 18;
const HEAD = 34;
const PAD = 10;
const CHIP = 24;
const CHIP_GAP = 6;
const SQUARE = 13;
const SQUARE_GAP = 4;
const STRIP = 24;
/** How high the lane below a row is, on which ways between hosts run, and where in it. */
const LANE = 30;
const LANE_AT = 23;
/** What is left free for the trunk at the right that joins these from row to row. */
const TRUNK = 14;
/** What is left free for the rate in a chip of this host. */
const RATE = 70;
/** From how many endpoints or boxes on names give way to squares. */
const MANY = { endpoints: 160, boxes: 18 };
/** How many endpoints of this host have their names even then. */
const NAMED = 120;

/** The boxes of a scene: this host first, then the others, then what is outside and what is nowhere. */
export function boxes(scene) {
  const of = new Map(
    scene.hosts.map((host) => [`host ${host.name}`, { kind: "host", host, title: host.name, endpoints: [] }]),
  );
  const outside = new Map();
  const nowhere = { kind: "nowhere", key: "nowhere", title: "attached nowhere", endpoints: [] };
  for (const endpoint of scene.endpoints) {
    if (endpoint.host !== null) {
      of.get(`host ${endpoint.host}`)?.endpoints.push(endpoint);
    } else if (endpoint.vtep !== null) {
      const key = `outside ${endpoint.vtep}`;
      if (!outside.has(key)) {
        outside.set(key, { kind: "outside", key, title: endpoint.vtep, endpoints: [] });
      }
      outside.get(key).endpoints.push(endpoint);
    } else {
      nowhere.endpoints.push(endpoint);
    }
  }
  const hosts = [...of].map(([key, box]) => ({ ...box, key }));
  const rank = (box) => (box.host.this ? 0 : box.host.endpoints > 0 ? 1 : 2);
  const byName = new Intl.Collator("en", { numeric: true }).compare;
  hosts.sort((a, b) => rank(a) - rank(b) || byName(a.title, b.title));
  return [...hosts, ...outside.values(), ...(nowhere.endpoints.length > 0 ? [nowhere] : [])];
}

/** Lays the scene out in a width; `measure` says how wide a text in a chip is. */
export function layout(scene, width, measure) {
  const all = boxes(scene);
  const dense = scene.endpoints.length > MANY.endpoints || all.length > MANY.boxes;
  const narrow = width < 560;
  const least = dense ? (narrow ? 100 : 132) : 232;
  const spacing = Math.max(3, Math.min(12, 96 / Math.max(1, scene.networks.length)));

  const fit = (room) => Math.max(1, Math.floor((room + GAP) / (least + GAP)));
  const several = fit(width) < all.length + (dense ? 1 : 0);
  const left = several ? scene.networks.length * spacing + 8 : 0;
  const places = all.filter((box) => box.kind === "host" || box.kind === "outside").length;
  const lane = places > 1 ? LANE : 0;
  const room = width - left - 2 - (several && lane > 0 ? TRUNK : 0);
  const columns = Math.min(fit(room), Math.max(all.length, dense ? 4 : 3));
  const column = Math.min(dense ? 220 : 460, (room - GAP * (columns - 1)) / columns);

  for (const box of all) {
    const own = box.kind === "host" && box.host.this;
    box.named = !dense || (own && box.endpoints.length <= NAMED);
    box.span = dense && own ? Math.min(2, columns) : 1;
    box.w = column * box.span + GAP * (box.span - 1);
    box.own = own;
    fill(box, measure);
  }

  const rows = [];
  let at = columns;
  for (const box of all) {
    if (at + box.span > columns) {
      rows.push([]);
      at = 0;
    }
    rows.at(-1).push(box);
    box.x = left + at * (column + GAP) + 1;
    at += box.span;
  }

  const rails = [];
  const taps = [];
  let y = 0;
  for (const row of rows) {
    const here = [...new Set(row.flatMap((box) => box.endpoints.map((endpoint) => endpoint.network)))];
    here.sort((a, b) => a - b);
    const gutter = here.length > 0 ? 12 + here.length * spacing + 10 : 8;
    const top = y + gutter;
    const rail = new Map(here.map((network, place) => [network, { network, y: y + 12 + place * spacing, ends: [] }]));
    for (const box of row) {
      box.y = top;
      const networks = [...new Set(box.endpoints.map((endpoint) => endpoint.network))].sort((a, b) => a - b);
      const step = Math.min(14, (box.w - 32) / Math.max(1, networks.length - 1));
      networks.forEach((network, place) => {
        const x = box.x + 16 + place * step;
        rail.get(network).ends.push(x);
        taps.push({ network, box, x, y1: rail.get(network).y, y2: top });
      });
    }
    rails.push(...rail.values());
    const bottom = top + Math.max(...row.map((box) => box.h));
    for (const box of row) {
      box.lane = bottom + LANE_AT;
    }
    y = bottom + lane + GAP;
  }
  const ways = lane > 0 ? reaches(all, width - TRUNK / 2) : [];
  return { width, height: Math.max(y, 40), boxes: all, rails, taps, trunks: trunks(rails, spacing), ways, dense };
}

/** The way from this host to each other place: down, along the lane, by the trunk at the right to another row, and up. */
function reaches(all, trunk) {
  const own = all.find((box) => box.own);
  const others = all.filter((box) => box !== own && (box.kind === "host" || box.kind === "outside"));
  const begin = own && own.x + own.w - 22;
  return own ? others.map((box) => {
    const end = box.x + 16;
    const across = box.lane === own.lane ? "" : `H${trunk}V${box.lane}`;
    return { key: box.key, box, d: `M${begin} ${own.y + own.h}V${own.lane}${across}H${end}V${box.y + box.h}` };
  }) : [];
}

/** Where a network has rails in several rows, a trunk joins them. */
function trunks(rails, spacing) {
  const trunks = [];
  for (const network of new Set(rails.map((rail) => rail.network))) {
    const own = rails.filter((rail) => rail.network === network);
    if (own.length > 1) {
      const x = 6 + network * spacing;
      own.forEach((rail) => rail.ends.push(x));
      trunks.push({ network, x, y1: own[0].y, y2: own.at(-1).y });
    }
  }
  return trunks;
}

/** Puts the chips into a box, from its own corner. */
function fill(box, measure) {
  const inner = box.w - 2 * PAD;
  const [high, gap] = box.named ? [CHIP, CHIP_GAP] : [SQUARE, SQUARE_GAP];
  let [x, y] = [0, 0];
  box.chips = box.endpoints.map((endpoint) => {
    const rate = box.own && endpoint.counted ? RATE : 0;
    const text = box.named ? shorten(endpoint.name, inner - 24 - rate, measure) : "";
    const w = box.named ? measure(text) + 22 + rate : SQUARE;
    if (x > 0 && x + w > inner) {
      [x, y] = [0, y + high + gap];
    }
    const chip = { endpoint, text, x: PAD + x, y: HEAD + y, w, h: high };
    x += w + gap;
    return chip;
  });
  const chips = box.chips.length > 0 ? y + high : 14;
  box.strip = box.own ? HEAD + chips + PAD : null;
  box.h = HEAD + chips + PAD + (box.own ? STRIP : 2);
}

/** The text, or as much of its beginning as fits. */
export function shorten(text, room, measure) {
  if (measure(text) <= room) {
    return text;
  }
  let length = text.length;
  while (length > 1 && measure(`${text.slice(0, length)}…`) > room) {
    length -= 1;
  }
  return `${text.slice(0, length)}…`;
}
