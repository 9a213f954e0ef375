"""Reports need nothing from outside, escape what they show, and are written whole."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsuite.errors import UserError
from seqsuite.reports import Report, TableView, html_table, line_figure, loss_curves, read_metrics, training_report

HOSTILE = "<script>alert('x')</script>&\"'"


class Page(HTMLParser):
    """Collects tags, addresses and text; knows whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("img", "meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics.csv").write_text(
        "step,train_loss,lr,valid_loss\n10,2.0,0.1,\n20,1.5,0.2,\n20,,,1.75\n30,1.25,0.1,\n"
    )
    (tmp_path / "config.yaml").write_text(f"steps: 30\nname: {HOSTILE!r}\n")
    return tmp_path


def test_report_is_self_contained_and_whole(folder: Path) -> None:
    path = training_report(folder, title=HOSTILE).text(HOSTILE).code(HOSTILE).write(folder / "report.html")
    page = Page(path.read_text())
    assert page.open == []
    assert page.tags.count("img") == 2
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert not re.search(r"url\(|@import", path.read_text())
    assert "prefers-color-scheme: dark" in path.read_text()
    assert not list(folder.glob(".*"))


def test_pictures_hold_no_outside_address(folder: Path) -> None:
    page = Page(Report("x").figure(loss_curves(folder)).html())
    picture = base64.b64decode(page.addresses[0].partition(",")[2]).decode()
    loaded = re.findall(r'(?:href|src)="([^#"][^"]*)"', picture)
    assert [address for address in loaded if not address.startswith("data:")] == []


def test_the_same_run_gives_the_same_report(folder: Path) -> None:
    assert training_report(folder).html() == training_report(folder).html()


@given(name=st.text(max_size=20), value=st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.none()))
def test_tables_show_any_text_as_text(name: str, value: Any) -> None:
    page = Page(html_table([{name: value}], caption=name))
    assert page.open == []
    assert set(page.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_hostile_text_comes_out_as_it_went_in() -> None:
    assert HOSTILE in "".join(Page(html_table({HOSTILE: HOSTILE})).words)


def test_table_of_rows_fills_gaps_and_keeps_order() -> None:
    page = Page(html_table([{"k": 1, "bits": 1.95}, {"k": 2, "note": "best"}]))
    assert "".join(page.words) == "kbitsnote11.952best"
    assert "".join(Page(html_table([{"a": 1, "b": 2}], columns=["b"])).words) == "b2"


def test_metrics_by_column(folder: Path) -> None:
    assert read_metrics(folder) == {
        "train_loss": ([10, 20, 30], [2.0, 1.5, 1.25]),
        "lr": ([10, 20, 30], [0.1, 0.2, 0.1]),
        "valid_loss": ([20], [1.75]),
    }


def test_curves_are_what_was_read(folder: Path) -> None:
    axes = loss_curves(folder, levels={"baseline": 1.9}).axes[0]
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert drawn == {"training": [2.0, 1.5, 1.25], "validation": [1.75], "baseline": [1.9, 1.9]}
    assert line_figure({}, log=True).axes[0].get_yscale() == "log"


@pytest.mark.parametrize(("text", "told"), [(None, "cannot read"), ("step,a\nx,1\n", "no table of metrics")])
def test_unreadable_metrics(text: str | None, told: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UserError, match=told):
        read_metrics(tmp_path)


def test_unwritable_report(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*report.html"):
        Report("x").write(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_results_show_themselves() -> None:
    class Result(TableView):
        def table(self) -> dict[str, Any]:
            return {"bits": 1.5}

        def figure(self) -> Any:
            return line_figure({"a": ([0, 1], [1.0, 2.0])})

    assert {"table", "img"} <= set(Page(Result()._repr_html_()).tags)


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path):
    report = Report("a run").text(b"caf\xe9.wav".decode("utf-8", "surrogateescape"))
    assert r"caf\udce9.wav" in report.write(tmp_path / "report.html").read_text(encoding="utf-8")
