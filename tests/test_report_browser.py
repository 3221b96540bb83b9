"""The report and the page of rollouts in a real browser: they work, look after their text, and ask for nothing."""

import os
import shutil
import struct
import subprocess

import pytest
import report_case as case

from recipe.evaluate.disagreements import KINDS
from recipe.report import __main__ as report
from recipe.report import rollouts

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install playwright")
pytest.importorskip("matplotlib")

PHONE, DESKTOP = {"width": 360, "height": 780}, {"width": 1280, "height": 900}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
REMEDY = (
    "no Chromium that runs; apt-get install chromium-headless-shell (Debian) or any Chromium or Chrome on PATH, or set "
    "CHROMIUM=/path/to/one"
)


def runs(path):
    """False for a file that only stands in for a browser, such as Ubuntu's hint to its snap."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="module")
def browser():
    found = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else filter(None, map(shutil.which, NAMES))
    path = next(filter(runs, found), None)
    if path is None:
        pytest.skip(REMEDY)
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Both pages, and a report of 2,000 sentences."""
    folder = tmp_path_factory.mktemp("pages")
    scores, run = case.write_scores(folder / "small"), case.write_run(folder / "run")
    rows = [
        (case.example(f"Ann left Paris {i} .", case.ANN), case.answer(*[case.ANN] * (i % 2), reasoning="so on " * 30))
        for i in range(2000)
    ]
    many = case.write_scores(folder / "many", rows)
    for command, *arguments in ((report, scores, "--run", run), (report, many), (rollouts, run)):
        assert command.main([str(argument) for argument in arguments]) == 0
    return {
        "report": scores / report.FILE,
        "many": many / report.FILE,
        "rollouts": run / rollouts.FILE,
    }


class Opened:
    """A page in the browser, and all that it asked for or complained of."""

    def __init__(self, browser, path, viewport=DESKTOP, scheme="light"):
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.url = path.as_uri()
        self.page.goto(self.url)

    def texts(self, selector):
        return self.page.locator(selector).all_text_contents()

    def status(self, name="list"):
        return self.page.locator(f"#{name}-status").text_content()


@pytest.fixture
def opened(browser, files):
    """`opened("report", PHONE, "dark")`: a page in the browser."""
    pages = []

    def make(name="report", viewport=DESKTOP, scheme="light"):
        pages.append(Opened(browser, files[name], viewport, scheme))
        return pages[-1]

    yield make
    for one in pages:
        one.context.close()


both = pytest.mark.parametrize("name", ["report", "rollouts"])
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])
sizes = pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])


# ------------------------------------------------------------------------------------------------------- both pages


@both
def test_it_opens_without_a_complaint_and_asks_for_nothing(opened, name):
    one = opened(name)
    one.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    one.page.wait_for_timeout(200)
    assert one.complaints == []
    assert one.requests == [one.url]


@both
def test_what_a_model_wrote_is_shown_and_does_not_run(opened, name):
    one = opened(name)
    assert any(case.ATTACK in text for text in one.texts(".quoted p"))
    assert one.page.evaluate("window.ran") is None
    assert one.page.locator("main img, main script").count() == 0


@both
def test_a_script_that_got_in_would_be_stopped(opened, name):
    one = opened(name)
    one.page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = 1";
        document.body.append(script);
        const image = document.createElement("img");
        image.src = "http://127.0.0.1:9/x.png";
        document.body.append(image);
    }""")
    one.page.wait_for_timeout(100)
    assert one.page.evaluate("window.ran") is None
    assert len(one.complaints) == 2
    assert all("Content Security Policy" in text for text in one.complaints)


@both
@schemes
@sizes
def test_nothing_is_wider_than_the_screen_and_everyone_can_use_it(opened, name, scheme, viewport):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    one = opened(name, viewport, scheme)
    one.page.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    assert one.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    found = axe.run(one.page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


@both
@sizes
def test_a_picture_can_be_taken_of_it(opened, name, viewport, tmp_path):
    opened(name, viewport).page.screenshot(path=tmp_path / "page.png")
    assert struct.unpack(">II", (tmp_path / "page.png").read_bytes()[16:24]) == (viewport["width"], viewport["height"])


@both
def test_text_without_a_script_says_what_is_missing(browser, files, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(files[name].as_uri())
    assert "allow it to run to see them" in page.locator("main").inner_text()
    context.close()


# ----------------------------------------------------------------------------------------------------------- report


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_filter_shows_the_sentences_of_one_class(opened, kind):
    one = opened()
    one.page.get_by_label("Error class").select_option(kind)
    assert one.texts("#list .badges") == [kind] * len(one.texts("#list article"))
    assert "out of 11" in one.status()


def test_sentences_with_and_without_errors_make_up_all(opened):
    one = opened()
    counts = []
    for choice in ("*", "-"):
        one.page.get_by_label("Error class").select_option(choice)
        counts.append(len(one.texts("#list article")))
    assert counts == [9, 2]


def test_the_dataset_filter_takes_a_name_as_it_is(opened):
    one = opened()
    one.page.get_by_label("Dataset", exact=True).select_option(case.ODD)
    assert one.texts("#list h3") == [f"{case.ODD}, row 10"]


@pytest.mark.parametrize(
    ("text", "rows"), [("RIGHT as", [0]), ("rome", [2]), ("<script>", [7, 8, 10]), ("row 3", [3]), ("nowhere", [])]
)
def test_the_text_filter_looks_in_sentence_reasoning_names_and_completion(opened, text, rows):
    one = opened()
    one.page.get_by_label("Text", exact=True).fill(text)
    sync_api.expect(one.page.locator("#list-status")).to_contain_text("out of 11")
    assert [int(title.rsplit(" ", 1)[1]) for title in one.texts("#list h3")] == rows


def test_a_sentence_reads_as_it_is_without_its_labels(opened):
    one = opened()
    sentences = one.page.locator("#list article").nth(9).locator(".sentence")
    # A label follows a space of its own, which goes with it.
    without = """(line) => {
        for (const tag of line.querySelectorAll(".tag")) { tag.previousSibling.remove(); tag.remove(); }
        return line.textContent;
    }"""
    assert [sentences.nth(i).evaluate(without) for i in (0, 1)] == ["🙂 Bank of New York City Hall opened ."] * 2


def test_names_within_and_across_names_are_marked_to_their_ends(opened):
    one = opened()
    answer = one.page.locator("#list article").nth(9).locator(".sentence").nth(1)
    assert answer.locator("mark mark").count() == 3
    assert answer.locator("mark.more").count() == 2
    assert answer.locator("mark.again").count() == 2
    assert answer.locator("mark:not(.more) > .joined > .tag, mark:not(.more) > .tag").count() == 3


def test_an_error_is_told_in_words(opened):
    one = opened()
    one.page.get_by_label("Error class").select_option("boundary")
    assert one.texts("#list mark.wrong .tag") == ["group boundary"] * 2


def test_pages_turn_by_keyboard_and_the_place_is_told(opened):
    one = opened("many")
    one.page.focus("#list-next")
    one.page.keyboard.press("Enter")
    assert one.status() == "26–50 of 2,000 sentences"
    assert one.page.evaluate("document.activeElement.id") == "list-status"
    one.page.focus("#list-previous")
    one.page.keyboard.press("Space")
    assert one.status().startswith("1–25")
    assert one.page.is_disabled("#list-previous")


def test_2000_sentences_are_drawn_a_page_at_a_time_and_filtered_at_once(opened):
    one = opened("many")
    assert len(one.texts("#list article")) == 25
    spent = one.page.evaluate("() => { const start = performance.now(); filter(); return performance.now() - start; }")
    assert spent < 1000  # some tens of milliseconds; a browser that draws all of them takes seconds
    one.page.get_by_label("Error class").select_option("missed")
    assert one.status() == "1–25 of 1,000 sentences, out of 2,000"


def test_a_name_that_is_not_in_the_text_is_told_beside_it(opened):
    one = opened()
    one.page.get_by_label("Error class").select_option("not in the text")
    assert case.ATTACK in one.page.locator("#list .outside").inner_text()
    assert one.texts("#list mark .tag") == ["person", "person"]


# --------------------------------------------------------------------------------------------------------- rollouts


def test_groups_can_be_ordered_and_picked_by_step(opened):
    one = opened("rollouts")
    one.page.get_by_label("Order").select_option("spread")
    assert [text.count("no spread") for text in one.texts("#group-list .top")] == [0, 0, 1, 1]
    one.page.get_by_label("Step", exact=True).select_option("2")
    assert one.texts("#group-list h3") == ["Step 2"] * 2


def test_a_group_shows_score_and_advantage_of_each_answer(opened):
    one = opened("rollouts")
    one.page.get_by_label("Order").select_option("spread")
    figures = one.page.locator("#group-list article").first.locator(".figures").all_text_contents()
    assert [" ".join(text.split()) for text in figures] == [
        "6.00 +3.00 advantage", "3.00 +0.00 advantage", "0.00 −3.00 advantage",
    ]  # fmt: skip


def test_validation_shows_the_steps_of_each_answer(opened):
    one = opened("rollouts")
    assert [" ".join(text.split()) for text in one.texts("#history-list .figures")] == [
        "step 0 0.00 F1 0.00", "steps 1 to 2 7.00 +7.00 change F1 0.70",
    ]  # fmt: skip
    one.page.get_by_label("Score, first to last").select_option("worse")
    assert one.status("history-list") == "0 prompts, out of 1"
