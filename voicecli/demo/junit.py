"""Outcomes as JUnit XML: what systems for continuous integration read.

One suite for each script that was played, and in it one case for each expectation. The shape is
that of https://github.com/testmoapp/junitxml, as far as everybody reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from voicecli.demo.expect import Verdict
from voicecli.demo.outcome import Outcome, Part

_SURROGATES: Final = range(0xD800, 0xE000)


def junit_xml(outcomes: Sequence[Outcome], seconds: float) -> bytes:
    """The file.

    Args:
        outcomes: of every run of every script.
        seconds: how long all of it took.
    """
    suites = ElementTree.Element("testsuites", name="voicecli demo", time=f"{seconds:.3f}")
    for outcome in outcomes:
        suites.append(_suite(outcome))
    for key in ("tests", "failures", "errors", "skipped"):
        suites.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, "utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(outcome: Outcome) -> ElementTree.Element:
    name = outcome.name if outcome.run == 1 else f"{outcome.name} #{outcome.run}"
    suite = ElementTree.Element("testsuite", name=_clean(name), time=f"{outcome.seconds:.3f}")
    for part in outcome.parts:
        for verdict in part.verdicts:
            suite.append(_case(verdict, name))
        suite.append(_whole(part, name, was_stopped=outcome.was_stopped))
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _case(verdict: Verdict, name: str) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=_clean(name),
        name=_clean(f"{verdict.place.line}: {verdict.wanted}"),
        file=_clean(verdict.place.source),
        line=str(verdict.place.line),
        time="0",
    )
    if verdict.is_skipped:
        ElementTree.SubElement(case, "skipped", message=_clean(verdict.came))
    elif not verdict.passed:
        failure = ElementTree.SubElement(case, "failure", message=_clean(verdict.came))
        failure.text = _clean(f"{verdict.place}: {verdict.wanted}: {verdict.came}")
    return case


def _whole(part: Part, name: str, *, was_stopped: bool) -> ElementTree.Element:
    """That the script was played to its end, as a case of its own: it has the time."""
    case = ElementTree.Element(
        "testcase",
        classname=_clean(name),
        name="is played to its end",
        file=_clean(part.source),
        time=f"{part.log.seconds:.3f}",
    )
    if part.failure:
        ElementTree.SubElement(case, "error", message=_clean(part.failure))
    elif was_stopped:
        ElementTree.SubElement(case, "error", message="stopped")
    return case


def _clean(text: str) -> str:
    """Without what XML cannot hold, whatever a server said."""
    return "".join(
        one
        if one in "\t\n" or ((one.isprintable() or ord(one) >= 0xA0) and _is_allowed(one))
        else "�"
        for one in text
    )


def _is_allowed(one: str) -> bool:
    return ord(one) not in _SURROGATES and ord(one) not in (0xFFFE, 0xFFFF)
