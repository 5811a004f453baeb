"""Reports as lines of JSON."""

import json

import pytest

from voicecli import reports
from voicecli.reports import Report, encode_report

VALUES = {"str": "ü\n\x1b", "int": 7, "float": 1.5, "bool": True}
KINDS = [
    one
    for one in vars(reports).values()
    if isinstance(one, type) and issubclass(one, Report) and one is not Report
]


def filled(kind: type[Report], *, with_nulls: bool) -> Report:
    fields = {}
    for name, annotation in kind.__annotations__.items():
        known, _, nullable = str(annotation).partition(" | ")
        fields[name] = None if nullable and with_nulls else VALUES[known]
    return kind(**fields)


@pytest.mark.parametrize("with_nulls", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_report_is_one_line_with_type_time_and_then_its_fields(kind, with_nulls):
    report = filled(kind, with_nulls=with_nulls)
    line = encode_report(report, 1234)
    assert b"\n" not in line
    fields = json.loads(line)
    assert list(fields) == ["type", "at_ms", *kind.__struct_fields__]
    assert (fields.pop("type"), fields.pop("at_ms")) == (report.type, 1234)
    assert fields == {name: getattr(report, name) for name in kind.__struct_fields__}


def test_every_kind_of_report_has_its_own_type():
    types = [kind.__struct_config__.tag for kind in KINDS]
    assert sorted(set(types)) == sorted(types)
    assert set(types) == {
        "session",
        "user",
        "assistant",
        "barge_in",
        "false_alarm",
        "turn",
        "tool",
        "error",
        "note",
        "marker",
        "summary",
    }
