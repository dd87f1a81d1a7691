"""The page of `miras compare` in a real browser: tabs, selection there and back, code, permalinks, keys, themes. Needs Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from kit.browser import launched, needs_browser
from miras_compiler.compare import page, read_subjects

pytestmark = [needs_browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page on disk, of three small specs."""
    folder = tmp_path_factory.mktemp("page")
    subjects, _ = read_subjects([Path("delta_net"), Path("huber_delta"), Path("momentum_huber")])
    (folder / "page.html").write_text(page(subjects, [], folder), encoding="utf-8")
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """The page, just opened; the test fails if it asked for anything or if its script raised."""
    context = browser.new_context(color_scheme="light")
    tab = context.new_page()
    asked: list[str] = []
    raised: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: raised.append(str(error)))
    tab.goto(address)
    yield tab
    assert not raised
    assert {url.partition("#")[0] for url in asked} == {address}
    context.close()


@pytest.mark.slow
def test_a_line_of_the_spec_marks_what_comes_from_it_and_a_second_click_clears(opened: Page) -> None:
    opened.click('ol[data-spec="2"] li:has-text("optimizer")')
    assert opened.locator("#rule td.hit").count() > 0
    assert opened.locator('#graph .node.hit[data-node~="S"]').count() > 0
    assert int(opened.inner_text("#tab-rule .count")) == opened.locator("#rule td.hit").count()
    opened.click("#tab-code")
    opened.wait_for_selector("#panes .line")
    opened.select_option("#right", "2")
    opened.wait_for_selector('#panes .pane.hit[data-node="S"]')
    opened.click('ol[data-spec="2"] li:has-text("optimizer")')
    assert opened.locator(".hit").count() == 0


@pytest.mark.slow
def test_an_equation_marks_its_line_its_value_and_its_code_and_escape_clears(opened: Page) -> None:
    opened.click("#tab-rule")
    opened.click('#rule td[data-node="du"] >> nth=1')
    assert "attentional_bias" in opened.inner_text('ol[data-spec="1"] li.hit >> nth=0')
    assert opened.locator('#graph .node.hit[data-node~="du"]').count() > 0
    assert opened.locator('#rule td.hit:not([data-node="du"])').count() == 0
    opened.keyboard.press("Escape")
    assert opened.locator(".hit").count() == 0


def test_tabs_and_lines_are_reached_by_keys(opened: Page) -> None:
    opened.focus("#tab-summary")
    opened.keyboard.press("ArrowRight")
    assert opened.get_attribute("#tab-choices", "aria-selected") == "true"
    assert opened.is_visible("#choices")
    assert opened.is_hidden("#summary")
    opened.keyboard.press("End")
    assert opened.is_visible("#stability")
    opened.focus('ol[data-spec="0"] li:has-text("retention")')
    opened.keyboard.press("Enter")
    assert opened.locator("#rule td.hit").count() > 0


def test_code_is_compared_line_by_line_and_any_file_can_be_chosen(opened: Page) -> None:
    opened.click("#tab-code")
    opened.wait_for_selector("#panes .line")
    assert [each.strip() for each in opened.locator("#panes .titles .pane").all_inner_texts()] == ["delta_net", "huber_delta"]
    assert opened.locator("#panes .pane.removed").count() > 0
    for path in ("kernels.py", "derivation.md", "manifest.json"):
        opened.select_option("#file", label=path)
        opened.wait_for_function("path => document.querySelector('#file').selectedOptions[0].text === path", arg=path)
        opened.wait_for_selector("#panes .pane.added")
    opened.check("#all")
    opened.wait_for_function("!document.querySelector('#panes .fold')")
    for side, index in (("left", 0), ("right", 1)):
        shown = opened.locator(f"#panes .line:not(.titles) .pane:nth-child({index + 1}):not(.none)").all_inner_texts()
        assert f'"name": "{opened.locator(f"#{side} option:checked").inner_text()}",' in "\n".join(shown)


def test_a_file_that_is_the_same_is_shown_once(opened: Page) -> None:
    opened.goto(opened.url.partition("#")[0] + "#tab=code&file=runtime_gates.py")
    opened.wait_for_selector("#panes .line.one")
    assert opened.inner_text("#panes .titles").strip() == "delta_net and huber_delta: the same"
    assert opened.locator("#panes .pane.removed, #panes .pane.added").count() == 0


def test_an_address_leads_back_to_what_is_shown(opened: Page, browser: Browser) -> None:
    opened.click("#tab-code")
    opened.select_option("#file", label="chunked.py")
    opened.select_option("#left", "2")
    opened.click('ol[data-spec="0"] li:has-text("retention")')
    again = browser.new_page()
    again.goto(opened.url)
    again.wait_for_selector("#panes .line")
    assert again.is_visible("#code")
    assert again.locator("#file option:checked").inner_text() == "chunked.py"
    assert again.locator("#left option:checked").inner_text() == "momentum_huber"
    assert again.locator("#rule td.hit").count() == opened.locator("#rule td.hit").count() > 0
    again.close()


@pytest.mark.slow
def test_light_and_dark_follow_the_system_and_the_button(opened: Page) -> None:
    def paper() -> str:
        return str(opened.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    opened.emulate_media(color_scheme="dark")
    dark = paper()
    assert light != dark
    opened.click("#theme")
    assert paper() == light
    opened.click("#theme")
    assert paper() == dark


def test_no_word_of_a_table_is_broken_on_a_phone(opened: Page) -> None:
    opened.set_viewport_size({"width": 390, "height": 844})
    for tab in ("summary", "choices", "cost", "stability"):
        opened.click(f"#tab-{tab}")
        broken = opened.evaluate(
            """tab => [...document.querySelectorAll(`#${tab} :is(th, td)`)].flatMap((cell) => {
              const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
              for (let node = walker.nextNode(); node; node = walker.nextNode())
                for (const word of node.data.matchAll(/\\w+/g)) {
                  const range = new Range();
                  range.setStart(node, word.index);
                  range.setEnd(node, word.index + word[0].length);
                  if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) found.push(word[0]);
                }
              return found;
            })""",
            tab,
        )
        assert broken == [], tab


@pytest.mark.slow
def test_a_picture_can_be_as_wide_as_the_page(opened: Page) -> None:
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.click("#tab-graph")
    room = opened.locator("#graph .graph").first.evaluate("box => box.clientWidth")
    width = "picture => picture.getBoundingClientRect().width"
    assert opened.locator("#graph svg").first.evaluate(width) > room
    opened.check("#whole")
    assert opened.locator("#graph svg").first.evaluate(width) <= room


@pytest.mark.slow
def test_an_equation_is_not_cut_off(opened: Page) -> None:
    opened.click("#tab-rule")
    cut = "cells => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)"
    assert opened.eval_on_selector_all("#rule td", cut) == []


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone_and_paper_shows_every_part(opened: Page) -> None:
    opened.set_viewport_size({"width": 390, "height": 844})
    for tab in opened.locator('[role="tab"]').all():
        tab.click()
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390, tab.inner_text()
    opened.emulate_media(media="print")
    assert all(part.is_visible() for part in opened.locator('[role="tabpanel"]').all())
    assert opened.is_hidden("nav")


@pytest.mark.slow
def test_a_dark_page_is_printed_on_white(opened: Page) -> None:
    opened.emulate_media(color_scheme="dark", media="print")
    opened.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.locator("#graph svg").first.evaluate("picture => getComputedStyle(picture).filter") == "none"
