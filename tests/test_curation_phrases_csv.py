"""The table as CSV and back, and what is kept in DATA/phrases."""

import csv
import io
import json
from pathlib import Path

import pytest
from soundscape_rows import dataset, event, soundscape
from test_curation_phrases_review import ONTOLOGY, answer

from curation.phrases import update_phrases, write_phrases
from curation.phrases_csv import COLUMNS, corrected, to_csv
from curation.phrases_sources import ModelAnswer, Sources, SourcesFolder
from curation.phrases_table import PhraseTable, phrase_table
from manifests.errors import FlamError
from manifests.store import DatasetFolder

ODD = ["NA", "007", "=1+1", "'=1+1", "''-x", "+", '"', "a,b", "a\nb", "a\rb", "鳥", "nan", "@x", "'", " ", "_", "\tx"]
LABELS = [("cat", "cat"), ("dog_bark", "dog"), ("dog", "dog"), ("Howl", "howl")]
SOURCES = Sources(ontology=ONTOLOGY, answers=[answer("cat", ["kitty"], ["a baby cries"], ["dog"])])


def file(folder: Path, *rows: str, header: str = "cluster,label,kind,text,keep") -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def after(path: Path, sources: Sources = SOURCES) -> PhraseTable:
    corrections = corrected(path, LABELS, sources)
    return phrase_table(LABELS, Sources(ontology=ONTOLOGY, answers=sources.answers, corrections=corrections))


def sounds(root: Path, *labels: str) -> Path:
    return dataset(root, [soundscape("a", [event(label, (1, 2)) for label in labels], "rain")])


def test_a_table_given_back_as_it_was_printed_changes_nothing(tmp_path: Path) -> None:
    labels = [(label, label) for label in ODD] + LABELS
    table = phrase_table(labels, SOURCES)
    printed = to_csv(table)
    path = tmp_path / "mine.csv"
    path.write_text(printed, "utf-8", newline="")
    assert corrected(path, labels, SOURCES) == []
    path.write_bytes(b"\xef\xbb\xbf" + printed.encode())  # as a spreadsheet saves it
    assert corrected(path, labels, SOURCES) == []
    rows = list(csv.DictReader(io.StringIO(printed, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert not [row for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert {row["kind"] for row in rows} == {"phrase", "ancestor", "near miss"}
    assert sum(row["kind"] == "phrase" for row in rows) == len(table.phrases)


@pytest.mark.parametrize("label", ODD)
def test_odd_labels_can_be_corrected(label: str, tmp_path: Path) -> None:
    labels = [(label, label)]
    lines = io.StringIO(newline="")
    (first, *_) = csv.DictReader(io.StringIO(to_csv(phrase_table(labels)), newline=""))
    writer = csv.DictWriter(lines, COLUMNS)
    writer.writeheader()
    writer.writerows([{**first, "text": "my own"}])
    (tmp_path / "mine.csv").write_text(lines.getvalue(), "utf-8", newline="")
    corrections = corrected(tmp_path / "mine.csv", labels, Sources())
    found = phrase_table(labels, Sources(corrections=corrections)).phrases
    assert [(row.phrase, row.label, row.cluster) for row in found if row.origin == "correction"] == [
        ("my own", label, label)
    ]


def test_rows_add_and_take_away_and_those_left_out_change_nothing(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "dog,dog_bark,phrase,Wuff,",
        "dog,,phrase,A DOG BARKS,no",
        "cat,,ancestor,dog,NO",
        "howl,,ancestor,cat,yes",
        "cat,,near miss,a gull cries,yes",
    )
    found, before = after(path).phrases, phrase_table(LABELS, SOURCES).phrases
    assert [(row.phrase, row.label) for row in found if row.origin == "correction"] == [("Wuff", "dog_bark")]
    assert "a dog barks" not in [row.phrase for row in found]
    assert {row.cluster: row.ancestors for row in found} == {"cat": [], "dog": [], "howl": ["cat", "dog"]}
    assert {row.cluster: row.near_misses for row in found}["cat"] == ["a baby cries", "a gull cries"]
    kept = {row.phrase for row in before} - {"a dog barks"}
    assert kept <= {row.phrase for row in found}


def test_a_later_correction_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    first = corrected(file(tmp_path, "dog,dog,phrase,Wuff,", "dog,,phrase,a dog barks,no"), LABELS, SOURCES)
    sources = Sources(ontology=ONTOLOGY, answers=SOURCES.answers, corrections=first)
    second = after(file(tmp_path, "dog,,phrase,wuff,no", "dog,dog,phrase,a dog barks,yes"), sources)
    assert second.phrases == phrase_table(LABELS, SOURCES).phrases


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("fish,,phrase,blub,", "2: the dataset has no cluster 'fish'"),
        ("dog,cat,phrase,wuff,", "2: cluster 'dog' has no label 'cat'"),
        ("dog,,sound,wuff,", "2: kind is 'sound', must be one of phrase, ancestor, near miss"),
        ("dog,,phrase,wuff,maybe", "2: keep is 'maybe'"),
        ("dog,,phrase, ,", "2: phrase ' ': empty"),
        ("dog,,phrase,*wuff*,", "2: phrase '[*]wuff[*]': markup"),
        ("dog,,phrase," + "w " * 14 + ",", "more than 13 words"),
        ("dog,,ancestor,animal,", "2: ancestor 'animal' is no cluster"),
        ("dog,,ancestor,dog,", "2: ancestor 'dog' of 'dog', keep = yes: other texts decide otherwise"),
        ("dog,,ancestor,howl,", "2: ancestor 'howl' of 'dog', keep = yes: clusters that are above one another"),
        ("dog,,phrase,cat,", "2: phrase 'cat' of 'dog', keep = yes: phrases that fit several clusters"),
        ("dog,,near miss,the dogs bark,", "2: near miss 'the dogs bark' of 'dog', keep = yes: near misses that name"),
        ("dog,phrase,wuff", "2: 3 cells under 5 columns"),
        ('dog,,phrase,"wuff', "mend the quotes"),
    ],
)
def test_a_correction_that_cannot_be_is_one_line_with_its_place(row: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FlamError, match=said) as error:
        corrected(file(tmp_path, row), LABELS, SOURCES)
    assert str(error.value).startswith(str(tmp_path / "mine.csv"))
    assert len(str(error.value).splitlines()) == 1


def test_a_table_without_its_columns_and_a_cluster_without_phrases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FlamError, match="no column kind, text"):
        corrected(file(tmp_path, "cat", header="cluster"), LABELS, SOURCES)
    away = [f"cat,,phrase,{row.phrase},no" for row in phrase_table(LABELS, SOURCES).phrases if row.cluster == "cat"]
    with pytest.raises(FlamError, match="leaves cluster 'cat' without a phrase"):
        corrected(file(tmp_path, *away), LABELS, SOURCES)
    assert corrected(file(tmp_path, *away[1:]), LABELS, SOURCES)


def test_what_was_given_is_kept_by_later_runs_and_for_labels_that_come_later(tmp_path: Path) -> None:
    data = sounds(tmp_path / "data", "dog", "cat")
    given = file(tmp_path, "dog,,phrase,Wuff,")
    update_phrases(data, ontology=Path(__file__).with_name("small_ontology.json"), corrections=given)
    with SourcesFolder(data).appending() as append:
        append(answer("cat", ["kitty"], ["a baby cries"]))
        append(answer("Howl", ["howls"]))
    given.unlink()
    sounds(data, "dog", "cat", "Howl", "Animal", "Bark")
    phrases = write_phrases(data)
    assert phrases == DatasetFolder(data).phrases() == update_phrases(data)[0].phrases
    assert {row.origin for row in phrases} == {"label", "template", "ontology", "model", "correction"}
    ancestors = {row.cluster: row.ancestors for row in phrases}
    assert ancestors["Howl"] == ["Animal", "dog"]
    assert {row.cluster: row.near_misses for row in phrases}["cat"] == ["a baby cries"]


def test_a_table_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    data = sounds(tmp_path, "dog")
    write_phrases(data)
    path = DatasetFolder(data).phrases_path
    before = path.stat()
    update_phrases(data)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert not (data / "phrases").exists()


def test_a_table_of_an_earlier_version_is_told_and_made_anew(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    data = sounds(tmp_path, "dog")
    write_phrases(data)
    folder = DatasetFolder(data)
    pq.write_table(pq.read_table(folder.phrases_path).drop_columns(["near_misses"]), folder.phrases_path)
    with pytest.raises(FlamError, match=r"near_misses is missing.*flam-cli phrases") as error:
        folder.phrases()
    assert "\n" not in str(error.value)
    assert write_phrases(data) == folder.phrases()


def test_a_line_that_a_kill_cut_is_taken_off_before_the_next(tmp_path: Path) -> None:
    folder = SourcesFolder(tmp_path)
    with folder.appending() as append:
        append(answer("a"))
    with folder.answers_path.open("ab") as journal:
        journal.write(b'{"label": "b", "mod')
    assert [one.label for one in folder.load().answers] == ["a"]
    with folder.appending() as append:
        append(answer("c"))
    assert [one.label for one in folder.load().answers] == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("answers.jsonl", "{}\n", "answers.jsonl:1 is damaged"),
        ("answers.jsonl", "x\n", "delete this line"),
        ("corrections.json", "{}", "is damaged"),
        ("corrections.json", "[{}]", "is damaged"),
        (
            "corrections.json",
            '[{"cluster": "a", "kind": "x", "text": "b", "label": "", "keep": true}]',
            "kind 'x'",
        ),
        ("corrections.json", "[", "cannot be read"),
        ("ontology.json", "[", "is no JSON"),
    ],
)
def test_a_damaged_source_is_one_line(name: str, content: str, said: str, tmp_path: Path) -> None:
    data = sounds(tmp_path, "dog")
    (data / "phrases").mkdir()
    (data / "phrases" / name).write_text(content)
    with pytest.raises(FlamError, match=said) as error:
        write_phrases(data)
    assert "\n" not in str(error.value)


def test_answers_of_the_wrong_types_are_damaged(tmp_path: Path) -> None:
    folder = SourcesFolder(tmp_path)
    with folder.appending() as append:
        append(answer("a"))
    good = json.loads(folder.answers_path.read_text())
    for field, value in {"label": 1, "synonyms": "a", "near_misses": [1], "prompt_tokens": "3"}.items():
        folder.answers_path.write_text(json.dumps({**good, field: value}) + "\n")
        with pytest.raises(FlamError, match=f"{field} is "):
            folder.load()
    assert set(good) == set(ModelAnswer.__dataclass_fields__)
