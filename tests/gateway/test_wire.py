import math
import struct
from datetime import date
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.gateway.errors import MessageError
from broker.gateway.protocol.wire import Fields, frame, split, text


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (True, "1"),
        (False, "0"),
        (0, "0"),
        (-1.05, "-1.05"),
        (100.0, "100.0"),
        (1e-7, "0.0000001"),
        (1e16, "10000000000000000"),
        (np.float64(0.25), "0.25"),
        (date(2026, 4, 17), "20260417"),
        (Colour.RED, "red"),
        ("text", "text"),
    ],
)
def test_each_kind_of_value_has_one_way_to_be_written(value, written):
    assert text(value) == written
    assert split(frame([7, value])[4:]) == ["7", written]


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_numbers_come_back_without_an_exponent(number):
    assert "e" not in text(number)
    assert float(text(number)) == pytest.approx(number, abs=1e-15)


def test_a_frame_is_its_length_and_fields_that_end_in_nul():
    assert frame([4, 2, "é"]) == struct.pack(">I", 9) + b"4\x002\x00\\xe9\x00"


@pytest.mark.parametrize("unset", ["", "1.7976931348623157E308", "1.7976931348623157e+308", "2147483647"])
def test_all_ways_to_say_unset_are_read_alike(unset):
    assert Fields([unset]).real() is None
    assert Fields([unset]).integer() == 0


@pytest.mark.parametrize("infinite", ["Infinite", "Infinity"])
def test_both_words_for_infinity_are_read(infinite):
    assert Fields([infinite]).real() == math.inf


@pytest.mark.parametrize("read", [Fields.real, Fields.integer, Fields.flag])
def test_senseless_numbers_are_refused(read):
    with pytest.raises(MessageError, match="seven"):
        read(Fields(["seven"]))
