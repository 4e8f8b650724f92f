"use strict";
/* Sorting, copying, saving and enlarging: the page is whole without it. */
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const said = document.getElementById("said");
  const dialog = document.querySelector("dialog");
  document.body.classList.add("live");

  const say = (words) => { said.textContent = ""; setTimeout(() => { said.textContent = words; }, 30); };

  /* Tables: a click, or Enter on a heading, sorts upwards, then downwards, then as at first. */
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return cell.classList.contains("number") ? cell.dataset.value ?? "" : cell.textContent.trim();
  };
  const compare = (column, numbers, sign) => (a, b) => {
    const [x, y] = [keyOf(a, column), keyOf(b, column)];
    const missing = (text) => text === "" || text === "–";
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    return sign * (numbers ? Number(x) - Number(y) : order.compare(x, y));
  };
  const sort = (table, rows, heading) => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
    all("th[aria-sort]", table.tHead).forEach((one) => one.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", next);
    const sign = next === "descending" ? -1 : 1;
    const sorted = compare(heading.cellIndex, heading.classList.contains("number"), sign);
    table.tBodies[0].append(...(next === "none" ? rows : [...rows].sort(sorted)));
    say(next === "none" ? "Rows as they were at first" : `Sorted by ${heading.textContent}, ${next}`);
  };
  for (const table of all("main table")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 2) continue;
    for (const heading of all("thead th", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, rows, heading));
    }
  }

  /* A frame takes the focus only where there is something to scroll. */
  const frames = all("main .frame");
  const fit = () => frames.forEach((one) => {
    one.tabIndex = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1 ? 0 : -1;
  });
  new ResizeObserver(fit).observe(document.body);

  /* Tables as text. A CSV file begins with a mark by which Excel knows the letters. */
  const cells = (csv) => {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < csv.length; i += 1) {
      const sign = csv[i];
      const row = rows[rows.length - 1];
      if (quoted && sign === '"' && csv[i + 1] === '"') { row[row.length - 1] += '"'; i += 1; }
      else if (sign === '"') quoted = !quoted;
      else if (sign === "," && !quoted) row.push("");
      else if (sign === "\n" && !quoted) rows.push([""]);
      else row[row.length - 1] += sign;
    }
    return rows.slice(0, -1);
  };
  const csvOf = (figure) => figure.querySelector("template").content.textContent;
  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say(`${what} copied`);
  };
  const save = (text, name, kind) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`${name} saved`);
  };
  const show = (title, ...shown) => {
    dialog.querySelector("h2").textContent = title;
    const frame = dialog.querySelector(".frame");
    frame.replaceChildren(...shown.map((one) => one.cloneNode(true)));
    all("[id]", frame).forEach((one) => one.removeAttribute("id"));
    all("details", frame).forEach((one) => { one.open = true; });
    dialog.showModal();
    frame.scrollTo(0, 0);
  };
  const actions = {
    enlarge: (figure) => show(figure.querySelector("figcaption p").textContent, ...all(".drawing", figure)),
    "save-svg": (figure, button) => all(".drawing", figure).forEach((one, i, several) => {
      const name = several.length > 1 ? button.dataset.file.replace(".svg", `_${i + 1}.svg`) : button.dataset.file;
      save(new XMLSerializer().serializeToString(one), name, "image/svg+xml");
    }),
    "copy-table": (figure) => {
      const rows = cells(csvOf(figure)).map((row) => row.map((one) => one.replace(/\s+/g, " ")).join("\t"));
      copy(rows.join("\n"), "Table");
    },
    "save-table": (figure, button) => save(`\ufeff${csvOf(figure)}`, button.dataset.file, "text/csv;charset=utf-8"),
    "copy-script": () => copy(document.querySelector("#script pre").textContent, "Script"),
    "save-script": (_, button) => save(document.querySelector("#script pre").textContent, button.dataset.file, "text/x-python"),
    trace: (_, link) => {
      const trace = document.querySelector(link.getAttribute("href"));
      show(trace.querySelector("summary").textContent, trace);
    },
    close: () => dialog.close(),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (event.target === dialog) dialog.close();
    if (!button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    actions[button.dataset.do](button.closest("figure"), button);
  });

  /* What an address points to is opened. */
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();

  /* Contents: folded on small screens; the part that is read is marked. */
  const contents = document.querySelector("nav details");
  const roomy = matchMedia("(min-width: 64rem)");
  const fold = () => { contents.open = roomy.matches; };
  roomy.addEventListener("change", fold);
  fold();
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => {
    entries.forEach((one) => (one.isIntersecting ? seen.add(one.target.id) : seen.delete(one.target.id)));
    const current = [...links.keys()].find((id) => seen.has(id));
    if (!current) return;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(current).setAttribute("aria-current", "true");
  }, { rootMargin: "0px 0px -70% 0px" });
  links.forEach((_, id) => watcher.observe(document.getElementById(id)));

  /* On paper everything is open; afterwards it is as it was. */
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
})();
