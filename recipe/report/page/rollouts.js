
for (const card of [...data.groups, ...data.histories]) {
  card.words = [card.dataset, text(card.gold), ...card.answers.map(words)].join("\n").toLowerCase();
}

function signed(number) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
}

// One answer under its prompt: its figures at the left, what it says at the right.
function row(figures, answered, gold) {
  const said = element("div", "", element("div", "badges", ...badges(answered.kinds)));
  said.append(element("p", "sentence", ...answer(answered, gold)), ...relations(answered.answer_relations));
  if (answered.missed.length) said.append(names(answered.missed, (name) => (name.times > 1 ? ` ${name.times} times` : "")));
  said.append(...outside(answered), reasoning(answered, 160));
  return element("li", "answered", element("p", "figures", ...figures), said);
}

function article(title, told, card, rows) {
  const prompt = quoted("Prompt", card.prompt, 0);
  return element(
    "article", "card",
    element("div", "top", element("h3", "", title), element("div", "badges", ...told)),
    element(
      "div", "body whole",
      side("Gold", ...pieces(card.gold)), ...relations(card.gold_relations), element("ul", "answers", ...rows), prompt,
    ),
  );
}

function drawGroup(group) {
  const flat = group.best - group.worst < 1e-6;
  const different = group.answers.length;
  const told = [
    element("span", "badge plain", `${group.count} answers, ${different === 1 ? "all alike" : `${different} different`}`),
    element("span", "badge plain", `mean ${group.mean.toFixed(2)}, ${group.worst.toFixed(2)} to ${group.best.toFixed(2)}`),
  ];
  if (flat) told.push(element("span", "badge", "no spread"));
  const rows = group.answers.map((answered) => row([
    element("strong", "", answered.score.toFixed(2)), " ",
    element("span", answered.advantage < 0 ? "down" : "up", `${signed(answered.advantage)} advantage`), " ",
    answered.times > 1 ? `${answered.times} answers` : "",
  ], answered, group.gold));
  return article(`Step ${group.step}`, told, group, rows);
}

function drawHistory(history) {
  const change = history.change === 0 ? "same score" : `${history.change > 0 ? "better" : "worse"}, ${signed(history.change)}`;
  const style = history.change > 0 ? "badge right" : history.change < 0 ? "badge" : "badge plain";
  const rows = history.answers.map((answered, place) => {
    const before = place ? answered.score - history.answers[place - 1].score : 0;
    const figures = [
      element("span", "", answered.from === answered.to ? `step ${answered.from}` : `steps ${answered.from} to ${answered.to}`), " ",
      element("strong", "", answered.score.toFixed(2)), " ",
    ];
    if (before) figures.push(element("span", before < 0 ? "down" : "up", `${signed(before)} change`), " ");
    if (answered.f1 !== null) figures.push(`F1 ${answered.f1.toFixed(2)}`);
    return row(figures, answered, history.gold);
  });
  return article(history.dataset || "Prompt", [element("span", style, change)], history, rows);
}

const ORDERS = {
  step: (a, b) => a.step - b.step,
  spread: (a, b) => (b.best - b.worst) - (a.best - a.worst),
  worst: (a, b) => a.mean - b.mean,
  best: (a, b) => b.mean - a.mean,
};

if (data.groups.length) {
  const show = paged("group-list", "groups", data.groups.length, drawGroup, 5);
  const filter = () => {
    const step = valueOf("step");
    const wanted = valueOf("group-text").trim().toLowerCase();
    const found = data.groups.filter((group) => (step === "" || String(group.step) === step) && group.words.includes(wanted));
    show(found.sort(ORDERS[valueOf("order")]));
  };
  onChange(["step", "order", "group-text"], filter);
  filter();
}

if (data.histories.length) {
  const show = paged("history-list", "prompts", data.histories.length, drawHistory, 10);
  const filter = () => {
    const change = valueOf("change");
    const wanted = valueOf("history-text").trim().toLowerCase();
    show(data.histories.filter((history) =>
      (change === "" || change === (history.change > 0 ? "better" : history.change < 0 ? "worse" : "same"))
      && history.words.includes(wanted)));
  };
  onChange(["change", "history-text"], filter);
  filter();
}
