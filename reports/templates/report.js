/* Tables that sort, filter, page and change their baseline; copying; links that remember.
   The page is whole without it: it only hides, orders and draws what is there. */
"use strict";
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", () => {
  const PAGE = 200, FEW = 12, FACETS = 12, FACET_LENGTH = 32;
  const words = JSON.parse(document.querySelector("main").dataset.words);
  const fill = (text, ...values) => values.reduce((said, value) => said.replace("{}", value), text);
  const make = (tag, properties, ...inside) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...inside);
    return node;
  };
  const labelled = (tag, label, properties) => {
    const node = make(tag, properties);
    node.setAttribute("aria-label", label);
    return node;
  };
  const number = new Intl.NumberFormat("en");

  // What the fragment holds: "#where~table.q=resnet&table.sort=-3".
  const state = new URLSearchParams();
  let where = "";
  const remember = () => {
    const kept = state.toString();
    history.replaceState(null, "", `#${where}${kept && "~" + kept}`);
  };
  const keep = (name, value) => {
    if (value) state.set(name, value); else state.delete(name);
    remember();
  };

  class Grid {
    constructor(figure) {
      this.figure = figure;
      this.id = figure.id;
      this.table = figure.querySelector("table");
      this.body = this.table.tBodies[0];
      this.rows = [...this.table.querySelectorAll("tbody > tr")];
      this.heads = [...this.table.tHead.rows[0].cells];
      this.sorted = 0;                    // 2: by the second column; -2: downwards
      this.page = 0;
      this.needle = "";
      this.chosen = new Map();            // facet's column: value
      this.facets = new Map();
      this.texts = new Map();
      this.bases = new Map();             // group: id of its row
      if (this.rows.length > 1) this.heads.forEach((head, column) => head.className !== "repeat" && this.makeSortable(head, column));
      if (this.rows.length > FEW) this.addTools();
      if (this.table.dataset.ratio) this.addBaselines(Number(this.table.dataset.ratio));
      if (this.rows.length > PAGE) this.show();
    }
    text(row, column) {
      const cell = row.cells[column];
      return (cell.dataset.text || cell.textContent).trim();
    }
    value(row, column) {
      const cell = row.cells[column];
      const said = cell.dataset.value === undefined ? this.text(row, column).replace(/,/g, "") : cell.dataset.value;
      return said === "" || (this.heads[column].className !== "r" && cell.dataset.value === undefined)
        ? NaN : parseFloat(said);
    }
    makeSortable(head, column) {
      const button = make("button", {type: "button", className: "sort"}, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = column + 1;
        this.sorted = this.sorted === up ? -up : this.sorted === -up ? 0 : up;
        this.begin("sort", this.sorted && String(this.sorted));
      });
    }
    begin(name, value) {                  // from the first page, after something was chosen
      this.page = 0;
      this.show();
      state.delete(`${this.id}.page`);
      keep(`${this.id}.${name}`, value);
    }
    addTools() {
      this.search = labelled("input", words.filter, {type: "search", placeholder: words.filter});
      this.search.addEventListener("input", () => {
        this.needle = this.search.value.trim().toLowerCase();
        this.begin("q", this.search.value.trim());
      });
      this.said = make("span", {className: "shown"});
      this.said.setAttribute("role", "status");
      this.turns = [[words.previous, -1], [words.next, 1]].map(([label, by]) => {
        const button = make("button", {type: "button", textContent: label});
        button.addEventListener("click", () => {
          this.page += by;
          this.show();
          keep(`${this.id}.page`, this.page && String(this.page + 1));
        });
        return button;
      });
      const tools = make("div", {className: "tools"}, this.search, ...this.addFacets(), this.said, ...this.turns);
      this.figure.insertBefore(tools, this.figure.querySelector(".scroll"));
      this.tell(this.rows);
    }
    addFacets() {
      return this.heads.flatMap((head, column) => {
        if (head.className) return [];
        const values = new Set();
        for (const row of this.rows) {
          const text = this.text(row, column);
          if (text.length > FACET_LENGTH || values.add(text).size > FACETS) return [];
        }
        if (values.size < 2 || values.size > this.rows.length / 2) return [];
        const title = head.textContent.trim();
        const select = labelled("select", fill(words.only, title));
        select.append(make("option", {value: "", textContent: `${title}: ${words.all}`}));
        for (const value of [...values].sort()) select.append(make("option", {value, textContent: value}));
        select.addEventListener("change", () => {
          this.choose(column, select.value);
          this.begin(column + 1, select.value);
        });
        this.facets.set(column, select);
        return [select];
      });
    }
    choose(column, value) {
      if (value) this.chosen.set(column, value); else this.chosen.delete(column);
    }
    addBaselines(column) {
      const groups = new Map();
      for (const row of this.rows) if (row.dataset.against) {
        const found = groups.get(row.dataset.group);
        if (found) found.push(row); else groups.set(row.dataset.group, [row]);
      }
      this.title = this.heads[column].querySelector("button") || this.heads[column];
      for (const rows of groups.values()) {
        rows.forEach((row) => {
          const place = rows.indexOf(row), [itself, one] = JSON.parse(row.dataset.against)[place];
          if (one === null) return;        // not measured here, or invalid
          const button = labelled("button", fill(words.compare, row.dataset.name), {
            type: "button", className: "base", textContent: words.versus, title: fill(words.compare, row.dataset.name),
          });
          button.addEventListener("click", () => {
            this.compare(rows, place, column);
            this.bases.set(row.dataset.group, row.id);
            keep(`${this.id}.base`, [...this.bases.values()].join(","));
          });
          const cell = row.cells[column];
          cell.dataset.text = cell.textContent.trim();
          button.setAttribute("aria-pressed", String(cell.dataset.text === itself));
          cell.replaceChildren(make("span", {textContent: cell.dataset.text}), " ", button);
          row.compare = () => this.compare(rows, place, column);
        });
      }
    }
    compare(rows, place, column) {
      for (const row of rows) {
        const [text, value] = JSON.parse(row.dataset.against)[place];
        const cell = row.cells[column];
        const button = cell.querySelector("button");
        cell.replaceChildren(make("span", {textContent: text}), " ", ...(button ? [button] : []));
        cell.dataset.text = text;
        if (value === null) delete cell.dataset.value; else cell.dataset.value = value;
        if (button) button.setAttribute("aria-pressed", String(row === rows[place]));
        row.classList.toggle("baseline", row === rows[place]);
        this.texts.delete(row);
      }
      if (!rows[place].dataset.group) this.title.textContent = fill(words.against, rows[place].dataset.name);
      if (Math.abs(this.sorted) === column + 1) this.show();
    }
    matches(row) {
      if ([...this.chosen].some(([column, value]) => this.text(row, column) !== value)) return false;
      if (!this.needle) return true;
      if (!this.texts.has(row)) this.texts.set(row, row.textContent.toLowerCase());
      return this.needle.split(/\s+/).every((word) => this.texts.get(row).includes(word));
    }
    order(rows) {
      if (!this.sorted) return rows;
      const column = Math.abs(this.sorted) - 1, sign = Math.sign(this.sorted);
      return rows.map((row) => [this.value(row, column), this.text(row, column), row]).sort(([a, left], [b, right]) => {
        if (isNaN(a) !== isNaN(b)) return isNaN(a) ? 1 : -1;      // what is not known comes last, either way
        return sign * (isNaN(a) ? left.localeCompare(right) : a - b);
      }).map(([, , row]) => row);
    }
    show() {
      const found = this.order(this.rows.filter((row) => this.matches(row)));
      const pages = Math.max(Math.ceil(found.length / PAGE), 1);
      this.page = Math.min(Math.max(this.page, 0), pages - 1);
      for (const more of [...this.table.tBodies].slice(1)) more.remove();
      this.body.replaceChildren(...found.slice(this.page * PAGE, (this.page + 1) * PAGE));
      this.heads.forEach((head, column) => {
        if (Math.abs(this.sorted) !== column + 1) head.removeAttribute("aria-sort");
        else head.setAttribute("aria-sort", this.sorted > 0 ? "ascending" : "descending");
      });
      if (this.said) this.tell(found);
    }
    tell(found) {
      const first = this.page * PAGE, last = Math.min(first + PAGE, found.length), is_many = found.length > PAGE;
      const part = is_many ? fill(words.pages, number.format(first + 1), number.format(last)) : "";
      this.said.textContent = part + (found.length === this.rows.length
        ? fill(words.every, number.format(found.length))
        : fill(words.some, number.format(found.length), number.format(this.rows.length)));
      this.turns.forEach((button, index) => {
        button.hidden = !is_many;
        button.disabled = index ? last >= found.length : first === 0;
      });
    }
    restore() {
      this.needle = (state.get(`${this.id}.q`) || "").toLowerCase();
      if (this.search) this.search.value = state.get(`${this.id}.q`) || "";
      for (const [column, select] of this.facets) {
        select.value = state.get(`${this.id}.${column + 1}`) || "";
        this.choose(column, select.value);
      }
      const sorted = Number(state.get(`${this.id}.sort`)) || 0;
      this.sorted = Math.abs(sorted) <= this.heads.length ? sorted : 0;
      this.page = (Number(state.get(`${this.id}.page`)) || 1) - 1;
      const bases = new Set((state.get(`${this.id}.base`) || "").split(","));
      for (const row of this.rows) if (row.compare && bases.has(row.id)) {
        row.compare();
        this.bases.set(row.dataset.group, row.id);
      }
      this.show();
    }
    reveal(row) {
      if (row.isConnected) return;
      let place = this.order(this.rows.filter((each) => this.matches(each))).indexOf(row);
      if (place < 0) {
        for (const name of ["q", ...[...this.facets.keys()].map((column) => column + 1)]) keep(`${this.id}.${name}`, "");
        this.restore();
        place = this.order(this.rows).indexOf(row);
      }
      this.page = Math.floor(place / PAGE);
      this.show();
    }
  }

  const grids = [...document.querySelectorAll("figure.table")].map((figure) => new Grid(figure));
  const find = document.getElementById("find");
  const parts = [...document.querySelectorAll("[data-find]")];
  const sift = () => {
    const needles = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const part of parts) {
      part.hidden = !needles.every((needle) => part.dataset.find.toLowerCase().includes(needle));
      shown += !part.hidden;
    }
    for (const outer of document.querySelectorAll("section[data-outer]"))
      outer.hidden = needles.length > 0 && !outer.querySelector("[data-find]:not([hidden])");
    find.nextElementSibling.textContent = needles.length ? fill(words.parts, number.format(shown), number.format(parts.length)) : "";
  };
  if (find && parts.length) {
    find.parentElement.hidden = false;
    find.addEventListener("input", () => { sift(); keep("q", find.value.trim()); });
  }

  const whole = () => document.documentElement.classList.add("whole");
  addEventListener("load", () => setTimeout(whole, 300));
  addEventListener("beforeprint", whole);
  const follow = () => {
    const [place, kept] = location.hash.slice(1).split(/~(.*)/s);
    where = place;
    if (kept === undefined) {
      if (state.size) remember();          // a link within the page: filters stay as they are
    } else {
      const touched = [...state.keys()];
      touched.forEach((name) => state.delete(name));
      new URLSearchParams(kept).forEach((value, name) => state.set(name, value));
      touched.push(...state.keys());
      for (const grid of grids) if (touched.some((name) => name.startsWith(`${grid.id}.`))) grid.restore();
      if (find) { find.value = state.get("q") || ""; sift(); }
    }
    if (!place) return;
    whole();
    let target = document.getElementById(place);
    for (const grid of target ? [] : grids) {
      const row = grid.rows.find((each) => each.id === place);
      if (row) { grid.reveal(row); target = row; }
    }
    if (!target) return;
    for (let outer = target; outer; outer = outer.parentElement) {
      if (outer.tagName === "DETAILS") outer.open = true;
      if (outer.hidden && find) { find.value = ""; sift(); keep("q", ""); }
    }
    for (const row of document.querySelectorAll(".here")) row.classList.remove("here");
    target.classList.add("here");
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  if (location.hash) follow();

  const copier = (text, label) => {
    const button = labelled("button", label, {type: "button", className: "copy", textContent: words.copy, title: label});
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(text); } catch {
        const area = document.body.appendChild(make("textarea", {value: text}));
        area.select();
        document.execCommand("copy");      // where a page from disk has no clipboard
        area.remove();
      }
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = words.copy; }, 1500);
    });
    return button;
  };
  for (const code of document.querySelectorAll("pre > code"))
    code.parentElement.before(copier(code.textContent, words.copy_text));
  for (const grid of grids) for (const row of grid.rows) {
    const cell = row.lastElementChild;
    if (cell.dataset.command) cell.replaceChildren(copier(cell.dataset.command, fill(words.copy_command, row.dataset.name)));
  }

  // A printed page has every row, and folds are open.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const each of folded) each.open = true;
    for (const grid of grids) if (grid.rows.length > PAGE) grid.body.replaceChildren(...grid.order(grid.rows.filter((row) => grid.matches(row))));
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
    for (const grid of grids) if (grid.rows.length > PAGE) grid.show();
  });
});
