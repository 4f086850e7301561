"""Which family a licence is of, by the spellings found in real collections."""

import csv
from pathlib import Path

import pytest

from curation.licences import FAMILIES, families, parse_families, short_name
from manifests.errors import FlamError

SHARED = Path(__file__).parents[2] / "shared/data"
CC = "http://creativecommons.org"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0", "cc0"), ("CC0-1.0", "cc0"), ("CC0 1.0", "cc0"), ("cc-zero", "cc0"), ("Creative Commons 0", "cc0"),
        (f"{CC}/publicdomain/zero/1.0/", "cc0"), ("Creative Commons Zero v1.0 Universal", "cc0"),
        ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "cc0"),
        ("CC0 (as stated by the repo; source a YouTube channel)", "cc0"),
        ("CC BY 4.0", "cc-by"), ("CC-BY", "cc-by"), ("cc_by_3.0", "cc-by"), ("CC BY 4.0 (LibriSpeech)", "cc-by"),
        ("Attribution", "cc-by"), ("Attribution 3.0", "cc-by"), ("Attribution 4.0 International (CC BY 4.0)", "cc-by"),
        ("Creative Commons Attribution 4.0", "cc-by"), (f"{CC}/licenses/by/3.0/", "cc-by"), ("by", "cc-by"),
        ("https://x.com/?q=https%3A%2F%2Fcreativecommons.org%2Flicenses%2Fby%2F4.0", "cc-by"),
        ("CC BY-NC 3.0", "cc-by-nc"), ("cc-by-nc", "cc-by-nc"), (f"{CC}/licenses/by-nc/4.0/", "cc-by-nc"),
        ("Attribution Noncommercial", "cc-by-nc"), ("Attribution-NonCommercial 4.0", "cc-by-nc"),
        ("Attribution Non-Commercial", "cc-by-nc"), ("CC BY NC 4.0", "cc-by-nc"),
        ("CC BY-SA 4.0", "cc-by-sa"), ("CC BY-SA 3.0 (see package copyright)", "cc-by-sa"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported", "cc-by-sa"), (f"{CC}/licenses/by-nd/2.0", "cc-by-nd"),
        ("Attribution-NonCommercial-ShareAlike 4.0 International", "cc-by-nc-sa"), ("CC BY-NC-ND", "cc-by-nc-nd"),
        ("CC Sampling+ 1.0", "cc-sampling+"), ("CC-Sampling+", "cc-sampling+"), ("Sampling Plus 1.0", "cc-sampling+"),
        (f"{CC}/licenses/sampling+/1.0/", "cc-sampling+"),
        ("Public Domain", "public-domain"), (f"{CC}/publicdomain/mark/1.0/", "public-domain"),
        ("GPL-2+", "other"), ("unknown: the uploader's, of a YouTube video", "other"), ("All Rights Reserved", "other"),
    ],
)  # fmt: skip
def test_a_licence_is_recognised_however_it_is_written(licence, expected):
    assert families(licence) == {expected}
    assert families(licence.upper()) == {expected}


@pytest.mark.parametrize("licence", ["", "?", "recorded by Ann", "see README", "test data", "standby", "cc", "Bybee"])
def test_a_text_that_names_no_licence_is_of_no_family(licence):
    assert families(licence) == set()


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0 / CC BY (freesound 150993; check)", {"cc0", "cc-by"}),
        ("CC BY 3.0, non-commercial use only", {"cc-by", "other"}),
        ("MIT or CC-BY-SA-4.0", {"cc-by-sa", "other"}),
    ],
)
def test_several_licences_and_further_terms_are_all_seen(licence, expected):
    assert families(licence) == expected


def test_names_of_families_are_read_and_a_misspelt_one_is_named_with_the_nearest():
    assert parse_families("cc-by, CC0") == ("cc-by", "cc0")
    assert parse_families(",".join(FAMILIES)) == tuple(sorted(FAMILIES))
    assert parse_families("cc0,") == ("cc0",)
    with pytest.raises(FlamError, match="no licence family is named"):
        parse_families(" , ")
    for wrong, nearest in (("cc-bby", "cc-by"), ("ccby-nc", "cc-by-nc"), ("cco", "cc0")):
        with pytest.raises(FlamError, match=f"did you mean {nearest}\\?"):
            parse_families(wrong)


def test_creative_commons_addresses_have_short_names_that_are_of_the_same_family():
    for path, name in (("licenses/by-nc/3.0/", "CC BY-NC 3.0"), ("publicdomain/zero/1.0/", "CC0 1.0")):
        assert short_name(f"{CC}/{path}") == name
        assert families(name) == families(f"{CC}/{path}")
    assert short_name("free for all") == "free for all"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the tables in ../shared/data")
def test_every_licence_of_the_real_recordings_is_of_some_family():
    with (SHARED / "benchmark.csv").open(newline="") as file:
        licences = {row["licence"] for row in csv.DictReader(file)}
    found = {licence: families(licence) for licence in sorted(licences)}
    assert {licence for licence in found if not found[licence]} == set()
    assert {licence for licence in found if "other" in found[licence]} == {
        "GPL-2", "GPL-2+", "test data of scaper (BSD-3 repo; source not stated)"
    }  # fmt: skip
