"use strict";
// Elements are made here and filled with text, never with markup: what a model wrote stays what it wrote.

const data = JSON.parse(document.getElementById("data").textContent);
const hues = new Map(Object.entries(data.hues));

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// Pieces of a sentence, as recipe.report.marks gives them: text, and marks with pieces in them.
function pieces(parts) {
  return parts.map((part) => {
    if (typeof part === "string") return document.createTextNode(part);
    const hue = hues.has(part.type) ? `hue-${hues.get(part.type)}` : "hue-none";
    const mark = element("mark", `type ${hue}`, ...pieces(part.parts));
    mark.classList.toggle("wrong", Boolean(part.kind));
    mark.classList.toggle("more", Boolean(part.more));
    mark.classList.toggle("again", Boolean(part.again));
    joined(mark, part.more ? element("span", "tag", "→") : tag(part.type, part.kind));
    return mark;
  });
}

function tag(type, kind) {
  const made = element("span", "tag", type);
  if (kind) made.append(" ", element("b", "", kind));
  return made;
}

// A mark's last word and its tag stay on one line, where they are short.
function joined(mark, label) {
  const last = mark.lastChild;
  const word = last && last.nodeType === Node.TEXT_NODE ? last.data.match(/\S+$/) : null;
  if (!word || word[0].length + label.textContent.length > 30) return mark.append(" ", label);
  last.data = last.data.slice(0, word.index);
  mark.append(element("span", "joined", word[0], " ", label));
}

function side(name, ...content) {
  return element("div", "side", element("span", "name", name), element("p", "sentence", ...content));
}

// Gold and answer of one card, one line where they are the same.
function sentences(card) {
  const gold = relations(card.gold_relations);
  if (card.answer === undefined) {
    const apart = card.answer_relations && card.kinds.length; // the sentence has no marks: it need not be there twice
    const said = apart ? [side("Answer", ...(card.answer_relations.length ? [] : [element("em", "", "nothing")]))] : [];
    return [
      side(apart ? "Gold" : "Gold and answer", ...pieces(card.gold)), ...gold,
      ...said, ...(apart ? relations(card.answer_relations) : []), ...outside(card),
    ];
  }
  return [
    side("Gold", ...pieces(card.gold)), ...gold,
    side("Answer", ...answer(card)), ...relations(card.answer_relations), ...outside(card),
  ];
}

// Relations as a list under their sentence; nothing where none are asked for or there are none.
function relations(list) {
  return list && list.length ? [names(list, (name) => (name.times > 1 ? ` ${name.times} times` : ""))] : [];
}

function answer(card, gold) {
  if (card.answer === null) return [element("em", "", "could not be read")];
  return pieces(card.answer === undefined ? gold : card.answer);
}

// Names that have no mark in the sentence, as a list; nothing where there are none.
function outside(card) {
  if (!card.outside) return [];
  const why = "with no place of its own in the sentence";
  return [names(card.outside, (name) => ` ${name.times > 1 ? `${name.times} times ` : ""}in the ${name.side}, ${why}`)];
}

function names(list, note) {
  const items = list.map((name) => element("li", "", element("q", "", name.name), " ", tag(name.type, name.kind), note(name)));
  return element("ul", "outside", ...items);
}

// Text of a model, folded up where it is long.
const LONG = matchMedia("(min-width: 60rem)").matches ? 2500 : 700;

function quoted(title, text, most = LONG) {
  if (!text) return element("p", "empty", `no ${title.toLowerCase()}`);
  const words = text.trim().split(/\s+/).length;
  const box = element("details", "quoted", element("summary", "", `${title}, ${words} word${words === 1 ? "" : "s"}`));
  box.open = text.length <= most;
  box.append(element("p", "", text));
  return box;
}

function reasoning(card, most) {
  return card.raw === undefined ? quoted("Reasoning", card.reasoning, most) : quoted("Completion", card.raw, most);
}

function badges(kinds) {
  if (!kinds.length) return [element("span", "badge right", "no error")];
  return kinds.map((kind) => element("span", "badge", kind));
}

function text(parts) {
  return parts.map((part) => (typeof part === "string" ? part : text(part.parts))).join("");
}

// All that can be searched of an answer.
function words(card) {
  const listed = [card.outside, card.gold_relations, card.answer_relations].flatMap((list) => list || []);
  return [...listed.map((name) => name.name), card.reasoning, card.raw || ""].join("\n");
}

// A list shown page by page. `draw` makes an element of an item; returns the function that shows other items.
function paged(id, noun, total, draw, size) {
  const list = document.getElementById(id);
  const status = document.getElementById(`${id}-status`);
  const previous = document.getElementById(`${id}-previous`);
  const next = document.getElementById(`${id}-next`);
  const place = document.getElementById(`${id}-page`);
  let items = [];
  let page = 0;

  function show() {
    const pages = Math.max(1, Math.ceil(items.length / size));
    const from = page * size;
    const here = items.slice(from, from + size);
    list.replaceChildren(...here.map(draw));
    const shown = here.length ? `${from + 1}–${from + here.length} of ` : "";
    const all = items.length === total ? "" : `, out of ${total.toLocaleString("en")}`;
    status.textContent = `${shown}${items.length.toLocaleString("en")} ${noun}${all}`;
    place.textContent = `Page ${page + 1} of ${pages}`;
    previous.disabled = page === 0;
    next.disabled = page + 1 >= pages;
  }

  function turn(by) {
    page += by;
    show();
    status.focus({ preventScroll: true });
    status.scrollIntoView({ block: "start" });
  }

  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  return (wanted) => {
    items = wanted;
    page = 0;
    show();
  };
}

// Calls `change` when one of the controls changes; while someone types, once they pause.
function onChange(ids, change) {
  let timer;
  for (const id of ids) {
    document.getElementById(id).addEventListener("input", (event) => {
      clearTimeout(timer);
      if (event.target.type === "search") timer = setTimeout(change, 150);
      else change();
    });
  }
}

function valueOf(id) {
  return document.getElementById(id).value;
}
