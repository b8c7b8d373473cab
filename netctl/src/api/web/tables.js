// Tables that can be sorted by each column; a row stays the same element as long as what it shows is there.

/** A table whose columns are `{ title, of, text, number, kind }`: `of` is what is sorted by, `text` what is shown. */
export class Table {
  #columns;
  #key;
  #body;
  #rows = new Map();
  #by;
  #falling;
  #empty;
  #shown = [];

  constructor(table, caption, columns, key, by, empty) {
    this.#columns = columns;
    this.#key = key;
    this.#by = by;
    this.#falling = columns[by].number ?? false;
    this.#empty = empty;
    const title = document.createElement("caption");
    title.textContent = caption;
    title.className = "hidden";
    const heads = document.createElement("tr");
    columns.forEach((column, place) => {
      const head = document.createElement("th");
      head.scope = "col";
      head.className = column.kind ?? "";
      head.classList.toggle("number", column.number ?? false);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.title;
      button.addEventListener("click", () => {
        this.#falling = this.#by === place ? !this.#falling : (column.number ?? false);
        this.#by = place;
        this.#mark(heads);
        this.show(this.#shown);
      });
      head.append(button);
      heads.append(head);
    });
    this.#mark(heads);
    const head = document.createElement("thead");
    head.append(heads);
    this.#body = document.createElement("tbody");
    table.replaceChildren(title, head, this.#body);
  }

  #mark(heads) {
    [...heads.children].forEach((head, place) => {
      const order = this.#falling ? "descending" : "ascending";
      head.setAttribute("aria-sort", place === this.#by ? order : "none");
    });
  }

  /** Shows these. */
  show(all) {
    this.#shown = all;
    const column = this.#columns[this.#by];
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const order = (a, b) => {
      const [one, other] = [column.of(a), column.of(b)];
      return column.number ? (one ?? -1) - (other ?? -1) : compare(one ?? "", other ?? "");
    };
    const sorted = [...all].sort((a, b) => (this.#falling ? -1 : 1) * order(a, b));
    const rows = sorted.map((each) => this.#row(each));
    const kept = new Set(all.map((each) => this.#key(each)));
    for (const key of this.#rows.keys()) {
      if (!kept.has(key)) {
        this.#rows.delete(key);
      }
    }
    const wanted = rows.length > 0 ? rows : [this.#nothing()];
    const there = this.#body.children;
    if (wanted.length !== there.length || wanted.some((row, place) => row !== there[place])) {
      this.#body.replaceChildren(...wanted);
    }
  }

  #row(each) {
    const key = this.#key(each);
    let row = this.#rows.get(key);
    if (!row) {
      row = document.createElement("tr");
      row.append(...this.#columns.map((column) => {
        const cell = document.createElement("td");
        cell.className = column.kind ?? "";
        cell.classList.toggle("number", column.number ?? false);
        return cell;
      }));
      this.#rows.set(key, row);
    }
    this.#columns.forEach((column, place) => {
      const cell = row.children[place];
      const text = (column.text ?? column.of)(each) ?? "";
      if (cell.textContent !== text) {
        cell.textContent = text;
      }
      if (column.mark) {
        cell.dataset.mark = column.mark(each) ?? "";
      }
    });
    return row;
  }

  #nothing() {
    const row = document.createElement("tr");
    const cell = document.createElement("td");
    cell.colSpan = this.#columns.length;
    cell.className = "nothing";
    cell.textContent = this.#empty;
    row.append(cell);
    return row;
  }
}
