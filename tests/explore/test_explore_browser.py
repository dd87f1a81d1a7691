"""The page of `miras explore` in a real browser: pick, edit, break, repair, save, compare, by mouse and by keys. Needs Chromium."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from kit.browser import launched, needs_browser

PATIENCE = 15_000  # ms: this may run beside others

pytestmark = [needs_browser, pytest.mark.slow]
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explore") / "specs"


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "miras_compiler", "explore", str(folder), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    yield found.group()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """The page with a small spec; the test fails if it asked another server, or if its script raised or was refused by its policy."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1500, "height": 950})
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    asked: list[str] = []
    raised: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: raised.append(str(error)))
    tab.on("console", lambda message: raised.append(message.text) if "Content Security Policy" in message.text else None)
    tab.goto(address)
    tab.select_option("#open", "zoo:delta_net")
    expect(tab.locator("#headline")).to_contain_text("✓ fine delta_net")
    yield tab
    assert not raised
    assert all(url.startswith((address.partition("/#")[0], "data:")) for url in asked)
    context.close()


def lines(tab: Page) -> list[str]:
    return tab.input_value("#text").splitlines()


def test_a_menu_rewrites_the_text_and_the_text_the_menus(opened: Page) -> None:
    before = lines(opened)
    opened.select_option('[data-key="attentional_bias.kind"]', "huber")
    expect(opened.locator("#glance")).to_contain_text("forward substitution")
    expect(opened.locator("#notice")).to_have_text("gate delta added")
    after = lines(opened)
    assert [line for line in after if line not in before] == ["attentional_bias: {kind: huber}", *[x for x in after if "delta: {per" in x]]
    expect(opened.locator('[data-key="gates.delta.init"]')).to_have_value("1")
    opened.fill("#text", opened.input_value("#text").replace("kind: huber", "kind: huber_norm"))
    expect(opened.locator('[data-key="attentional_bias.kind"]')).to_have_value("huber_norm")
    opened.fill('[data-key="layer.head_dim"]', "32")
    opened.press('[data-key="layer.head_dim"]', "Enter")
    expect(opened.locator("#glance")).to_contain_text("4.1 kB")
    assert "head_dim: 32" in opened.input_value("#text")
    opened.click("#undo")
    expect(opened.locator("#glance")).to_contain_text("16.4 kB")
    assert "head_dim: 32" not in opened.input_value("#text")


def test_a_broken_spec_says_where_and_is_repaired(opened: Page) -> None:
    whole = opened.input_value("#text")
    opened.fill("#text", whole.replace("kind: l2", "kind: l3", 1))
    expect(opened.locator("#headline")).to_contain_text("✗ 1 problem")
    number = next(i for i, line in enumerate(lines(opened), 1) if "l3" in line)
    expect(opened.locator("#problems li")).to_contain_text("unknown attentional bias 'l3'")
    expect(opened.locator("#lines .faulty")).to_have_count(1)
    opened.click(f'#problems button:has-text("line {number}")')
    assert opened.evaluate("document.activeElement.id") == "text"
    assert opened.evaluate("lineOf(editor.selectionStart)") == number
    expect(opened.locator("#rule td").first).to_be_visible()  # of the last spec that was fine
    opened.fill("#text", "name: [")
    expect(opened.locator("#problems")).to_contain_text("not YAML")
    expect(opened.locator('[data-key="memory.kind"]')).to_be_disabled()
    opened.fill("#text", whole)
    expect(opened.locator("#headline")).to_contain_text("✓ fine")
    expect(opened.locator("#lines .faulty")).to_have_count(0)
    opened.select_option('[data-key="optimizer.kind"]', "implicit")
    opened.select_option('[data-key="attentional_bias.kind"]', "kl")
    expect(opened.locator("#problems")).to_contain_text("needs an l2 attentional bias")


def test_what_would_make_it_parallel_is_a_button(opened: Page) -> None:
    opened.select_option('[data-key="retention.kind"]', "elastic_net")
    expect(opened.locator("#glance")).to_contain_text("token by token")
    opened.click("#tab-form")
    expect(opened.locator("#form .card")).to_contain_text("Decided by")
    opened.click("#apply")
    expect(opened.locator("#glance")).not_to_contain_text("token by token")
    expect(opened.locator("#stability")).to_contain_text("the state stays bounded")


def test_a_line_marks_what_comes_from_it_and_an_equation_the_way_back(opened: Page) -> None:
    number = next(i for i, line in enumerate(lines(opened)) if line.startswith("attentional_bias"))
    opened.evaluate("number => goTo(number, 1)", number + 1)
    opened.click("#text", position={"x": 200, "y": 8 + 19 * number + 6})
    opened.locator('#rule td[data-node="e"]').first.click()
    expect(opened.locator("#lines .hit").first).to_contain_text("attentional_bias")
    expect(opened.locator('#picture .node.hit[data-node~="e"]')).to_have_count(1)
    opened.keyboard.press("Escape")
    expect(opened.locator(".hit")).to_have_count(0)
    opened.click("#tab-code")
    expect(opened.locator("#panes .pane").first).to_be_visible()
    opened.locator('#panes .pane[data-node="e"]').first.click()
    expect(opened.locator("#tab-rule .count")).to_have_text("1")


def test_graph_cost_and_code_are_shown(opened: Page) -> None:
    opened.click("#tab-graph")
    boxes = opened.locator("#picture .node").count()
    opened.check("#expand")
    expect(opened.locator("#picture .node")).not_to_have_count(0)
    assert boxes > 0
    opened.click("#tab-cost")
    expect(opened.locator("#cost")).to_contain_text("roofline of the forward pass")
    expect(opened.locator("#cost .plot").first).to_be_visible()
    opened.click("#tab-code")
    for path in ("chunked.py", "kernels.py"):
        opened.select_option("#path", path)
        expect(opened.locator("#code-said")).to_contain_text("lines")
        expect(opened.locator("#panes")).to_contain_text("torch_chunk_delta_net" if path == "chunked.py" else "@triton.jit")


def test_a_spec_is_saved_and_replaced_only_when_asked(opened: Page, folder: Path) -> None:
    (folder / "mine.yaml").unlink(missing_ok=True)
    opened.keyboard.press("Control+s")
    opened.fill("#save-name", "../mine.yaml")
    opened.click("#save-do")
    expect(opened.locator("#save-said")).to_contain_text("is not a name of a spec here")
    opened.fill("#save-name", "mine")
    opened.keyboard.press("Enter")
    expect(opened.locator("#notice")).to_have_text("saved mine.yaml")
    first = (folder / "mine.yaml").read_text()
    assert first == opened.input_value("#text")
    opened.select_option('[data-key="memory.kind"]', "vector")
    expect(opened.locator("#text")).to_have_value(re.compile("kind: vector"))
    opened.click("#save")
    opened.click("#save-do")
    expect(opened.locator("#save-said")).to_contain_text("Replace it?")
    assert (folder / "mine.yaml").read_text() == first
    opened.click("#save-do")
    expect(opened.locator("#save-dialog")).to_be_hidden()
    assert (folder / "mine.yaml").read_text() == opened.input_value("#text") != first
    for menu in ("#open", "#compare"):
        expect(opened.locator(f'{menu} option[value="file:mine.yaml"]')).to_have_count(1)


def test_a_comparison_opens_in_a_page_of_its_own_that_can_ask_for_nothing(opened: Page) -> None:
    with opened.context.expect_page() as found:
        opened.select_option("#compare", "zoo:linear_attention")
    page = found.value
    page.wait_for_selector("#tab-summary", timeout=PATIENCE)
    assert [each.strip() for each in page.locator("h1 .name").all_inner_texts()] == ["delta_net", "linear_attention"]
    page.click("#tab-code")
    page.wait_for_selector("#panes .line")
    origin = opened.evaluate("location.origin")
    assert page.evaluate("origin => fetch(origin + '/').then(() => 'answered', () => 'refused')", origin) == "refused"
    page.close()


def test_a_page_without_its_token_says_what_to_do(browser: Browser, address: str) -> None:
    tab = browser.new_page()
    for end in ("", "#token=stale"):
        tab.goto("about:blank")
        tab.goto(address.partition("#")[0] + end)
        expect(tab.locator("#notice")).to_contain_text("open the address that `miras explore` prints")
    tab.close()


def test_everything_is_reached_by_keys_in_light_and_dark_and_on_a_phone(opened: Page) -> None:
    opened.focus("#tab-rule")
    opened.keyboard.press("ArrowRight")
    expect(opened.locator("#graph")).to_be_visible()
    opened.keyboard.press("End")
    expect(opened.locator("#code")).to_be_visible()
    opened.keyboard.press("Home")
    opened.focus('#rule td[role="button"] >> nth=0')
    opened.keyboard.press("Enter")
    assert opened.locator("#lines .hit").count() > 0

    def paper() -> str:
        return str(opened.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    opened.emulate_media(color_scheme="dark")
    assert paper() != light
    opened.click("#theme")
    assert paper() == light
    opened.set_viewport_size({"width": 390, "height": 844})
    for view in ("choices", "source", "results"):
        opened.click(f'.views [data-view="{view}"]')
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
        assert opened.is_visible(f".{view}")
        assert opened.is_visible("#headline")
    for tab in opened.locator('[role="tab"]').all():
        tab.click()
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
