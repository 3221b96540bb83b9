
for (const card of data.cards) card.words = `row ${card.row}\n${text(card.gold)}\n${words(card)}`.toLowerCase();

function draw(card) {
  const head = element("h3", "", `${card.dataset}, row ${card.row}`);
  return element(
    "article", "card",
    element("div", "top", head, element("div", "badges", ...badges(card.kinds))),
    element("div", "body", element("div", "sides", ...sentences(card)), element("div", "beside", reasoning(card))),
  );
}

const show = paged("list", "sentences", data.cards.length, draw, 25);

function filter() {
  const kind = valueOf("kind");
  const dataset = valueOf("dataset");
  const wanted = valueOf("text").trim().toLowerCase();
  show(data.cards.filter((card) =>
    (kind === "" || (kind === "*" ? card.kinds.length : kind === "-" ? !card.kinds.length : card.kinds.includes(kind)))
    && (dataset === "" || card.dataset === dataset)
    && (wanted === "" || card.words.includes(wanted))));
}

onChange(["kind", "dataset", "text"], filter);
filter();
