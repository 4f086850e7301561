"""The commands as a user meets them."""

import csv
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_toy_dataset
from llm_servers import OddServer, completion, truthful
from score_folders import write_score_folder
from small_bank import default_sounds, write_bank
from soundscape_rows import dataset, event, numbered, soundscape
from typer.testing import CliRunner

import cli
from evaluation import yamnet
from evaluation.frame_scores import FrameScores
from evaluation.scored import split_soundscapes
from manifests.errors import FlamError
from manifests.store import DatasetFolder, write_json
from training.checkpoint import ModelCard, save_model
from training.config import SIZES, ModelConfig, TrainConfig
from training.model import FlamModel

ROOT = Path(__file__).parents[1]
COMMANDS = [
    "demo", "bank", "simulate", "render", "import", "caption", "phrases", "export", "train", "evaluate", "compare",
    "score", "export-model", "detect", "stats", "validate",
]  # fmt: skip
TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")


def invoke(*arguments: object) -> tuple[str, str]:
    """What a command that ends well prints on stdout and stderr."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def as_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    model = FlamModel(TINY)
    torch.nn.init.constant_(model.frame_logit.bias, 0.0)
    save_model(folder, model, ModelCard(model=TINY, trained_clusters=("hiss",), threshold=0.4))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return make_toy_dataset(tmp_path_factory.mktemp("toy") / "data", train=6, valid=2, test=4)


def recording(data: DatasetFolder) -> Path:
    return sorted((data.root / "audio").rglob("*.wav"))[0]


def test_the_commands_are_just_these() -> None:
    assert [command.name or command.callback.__name__ for command in cli.app.registered_commands] == COMMANDS


def test_the_options_are_just_these() -> None:
    """A new option is a decision: add it here, to the README or the docs, and to the changelog."""
    found = {
        name: sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_of(name))) - {"--help"}) for name in COMMANDS
    }
    assert found == {
        "demo": ["--out", "--seed", "--workers"],
        "bank": [
            "--background-seconds", "--backgrounds", "--foreground-seconds", "--licence", "--out", "--rate", "--seed",
            "--test-share", "--valid-share", "--workers",
        ],
        "simulate": [
            "--audio", "--bank", "--engine", "--num", "--out", "--recipe", "--seed", "--show-recipe", "--split",
            "--workers",
        ],
        "render": ["--bank", "--num", "--split", "--workers"],
        "import": ["--annotation", "--audio", "--out", "--split"],
        "caption": [
            "--base-url", "--batch", "--concurrency", "--dry-run", "--limit", "--max-answer-tokens", "--max-cost",
            "--max-tokens-total", "--model", "--name", "--no-batch", "--no-dry-run", "--per-request", "--price",
            "--seed", "--show-prompt", "--style", "--timeout", "--via",
        ],
        "phrases": [
            "--base-url", "--concurrency", "--corrections", "--csv", "--json", "--max-answer-tokens", "--model",
            "--ontology", "--prompt", "--timeout", "--via",
        ],
        "export": ["--bank", "--captions", "--out"],
        "train": [
            "--audio-encoder", "--bank", "--batch-size", "--captions", "--device", "--evaluate-every", "--hop",
            "--init", "--learning-rate", "--masked-weight", "--no-online", "--online", "--out", "--patience",
            "--recipe", "--seed", "--show-recipe", "--size", "--steps", "--text-encoder",
            "--trust-remote-code", "--weight",
        ],
        "compare": ["--json"],
        "score": ["--durations", "--ground-truth", "--json", "--threshold"],
        "evaluate": [
            "--bank", "--baselines", "--captions", "--curves", "--device", "--json", "--limit", "--scores",
            "--split", "--trust-remote-code",
        ],
        "export-model": ["--out", "--phrase", "--to"],
        "detect": [
            "--csv", "--device", "--json", "--phrase", "--plot", "--threshold", "--trust-remote-code", "--unbiased",
        ],
        "stats": ["--json", "--plot"],
        "validate": ["--bank", "--no-read-audio", "--read-audio"],
    }  # fmt: skip


def help_of(command: str) -> str:
    result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    assert f"Example: flam-cli {command}" in help_of(command)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, cli\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(cli.app, ['detect', '--help']).exit_code == 0\n"
        "heavy = ('torch', 'pandas', 'pyarrow', 'scaper', 'openai', 'datasets', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_recipe_is_shown_as_a_file_that_loads_as_the_recipe(tmp_path: Path) -> None:
    from curation.config import Recipe, load_recipe

    shown, _ = invoke("simulate", "--show-recipe", "finelap-100k")
    (tmp_path / "mine.toml").write_text(shown)
    assert load_recipe(tmp_path / "mine.toml") == Recipe(name="mine")
    wrong = as_process("simulate", "--show-recipe", "finelap")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "no recipe 'finelap'" in wrong.stderr
    (tmp_path / "sound.wav").write_bytes(b"RIFF\xff\xfe")
    for name in (tmp_path / "sound.wav", "x" * 5000):
        wrong = as_process("simulate", "--show-recipe", name)
        assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1), wrong.stderr


def test_a_bank_takes_wanted_licences_and_backgrounds_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["path,role,label,licence"]
    for index, licence in enumerate(("CC0 1.0", "Attribution 3.0", "CC BY-NC 3.0")):
        soundfile.write(tmp_path / f"{index}.wav", rng.normal(0, 0.1, 8000), 16_000)
        rows.append(f"{index}.wav,foreground,dog,{licence}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    (tmp_path / "own").mkdir()
    soundfile.write(tmp_path / "own/walk.flac", rng.normal(0, 0.1, 48_000), 16_000)
    make = ("bank", tmp_path / "t.csv", "--backgrounds", tmp_path / "own", "--rate", 16_000, "--workers", 1)
    refused = as_process(*make, "--out", tmp_path / "bank", "--licence", "cc0,cc-bby")
    assert refused.returncode == 1
    assert "no licence family 'cc-bby'; did you mean cc-by?" in refused.stderr
    _, talk = invoke(*make, "--out", tmp_path / "all")
    assert "not used" not in talk
    refused = as_process(*make, "--out", tmp_path / "some", "--licence", "cc0,cc-by")
    assert "no usable background in the sources under cc-by or cc0" in refused.stderr


def test_a_users_error_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    done = as_process("validate", tmp_path / "nothing")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_exit_code_2() -> None:
    assert as_process("simulate", "--nmu", "3").returncode == 2


def test_detect_prints_data_on_stdout_and_talk_on_stderr(run: Path, data: DatasetFolder) -> None:
    out, _ = invoke(
        "detect", run, recording(data), "--phrase", "hiss", "--phrase", "=1+1", "--threshold", "0.01", "--json"
    )
    rows = json.loads(out)
    assert rows
    assert set(rows[0]) == {"file", "onset", "offset", "phrase", "probability"}
    assert {row["phrase"] for row in rows} == {"hiss", "=1+1"}
    out, _ = invoke("detect", run, recording(data), "--phrase", "=1+1", "--threshold", "0.01", "--csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert {row["phrase"] for row in table} == {"'=1+1"}  # a spreadsheet must not compute it
    out, _ = invoke("detect", run, recording(data), "--phrase", "[red]x", "--threshold", "0.01")
    assert "[red]x" in out  # not taken for markup


def test_detect_draws_a_picture(run: Path, data: DatasetFolder, tmp_path: Path) -> None:
    invoke("detect", run, recording(data), "--phrase", "hiss", "--plot", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_not_drawn_over_a_recording(run: Path, data: DatasetFolder) -> None:
    file = next(data.root.rglob("*.wav"))
    before = file.read_bytes()
    for command in (["detect", run, file, "--phrase", "hiss", "--plot", file], ["stats", data.root, "--plot", file]):
        done = CliRunner().invoke(cli.app, [str(part) for part in command])
        assert done.exit_code == 2
        assert "does not end in .png" in done.stderr
    assert file.read_bytes() == before


def test_an_unbiased_score_is_not_called_a_probability(data: DatasetFolder, tmp_path: Path) -> None:
    config = TINY.model_copy(update={"frame_scale": "text"})
    save_model(tmp_path, FlamModel(config), ModelCard(model=config, trained_clusters=("hiss",), threshold=0.4))
    asked = ("detect", tmp_path, recording(data), "--phrase", "hiss", "--threshold", "0")
    for more, called in (((), "probability"), (("--unbiased",), "unbiased score")):
        (row,) = json.loads(invoke(*asked, *more, "--json")[0])
        assert list(row)[-1] == called
        assert invoke(*asked, *more, "--csv")[0].splitlines()[0] == f"file,onset,offset,phrase,{called}"
        assert called in invoke(*asked, *more)[0]


def test_what_was_found_is_printed_even_if_it_cannot_be_drawn(run: Path, data: DatasetFolder, tmp_path: Path) -> None:
    file = next(data.root.rglob("*.wav"))
    asked = ["detect", str(run), str(file), "--phrase", "hiss", "--phrase", "hiss", "--threshold", "0", "--csv"]
    (tmp_path / "file").touch()
    done = CliRunner().invoke(cli.app, [*asked, "--plot", str(tmp_path / "file" / "a.png")])
    assert isinstance(done.exception, FlamError)
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 1  # the phrase was given twice
    done = CliRunner().invoke(cli.app, [*asked, "--json"])
    assert "--json and --csv are two forms of the same" in str(done.exception)


def test_names_that_are_not_unicode_and_full_disks_are_one_line(run: Path, data: DatasetFolder, tmp_path: Path) -> None:
    file = next(data.root.rglob("*.wav"))
    odd = tmp_path / os.fsdecode(b"bad\xff.wav")
    shutil.copy(file, odd)
    asked = ["--phrase", "hiss", "--threshold", "0", "--csv"]
    done = as_process("detect", run, odd, file, *asked)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    assert "its name is not Unicode; rename it" in done.stderr
    assert "Traceback" not in done.stderr
    done = as_process("train", tmp_path / os.fsdecode(b"bad\xff"), "--out", tmp_path / "run")
    assert "the name is not Unicode" in done.stderr.splitlines()[-1]
    command = [sys.executable, "-m", "cli", "detect", str(run), str(file), *asked]
    with Path("/dev/full").open("w") as full:
        stopped = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert stopped.returncode == 1
    assert stopped.stderr == "flam-cli: cannot write what was found: No space left on device\n"


def test_too_little_memory_is_one_line() -> None:
    program = """
import sys
import cli
def app():
    raise {}
cli.app = app
cli.run()
"""
    for error in ("MemoryError()", 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried")'):
        done = subprocess.run(
            [sys.executable, "-c", program.format(error)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr.startswith("flam-cli: not enough memory; to train in less, lower --batch-size")
        assert len(done.stderr.splitlines()) == 1
    command = [sys.executable, "-c", program.format('RuntimeError("no")')]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr  # a mistake of ours stays visible


def test_detect_goes_on_after_a_bad_file_and_says_so(run: Path, data: DatasetFolder, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    arguments = [run, tmp_path / "bad.wav", recording(data), "--phrase", "hiss", "--threshold", "0.01", "--json"]
    done = as_process("detect", *arguments)
    assert done.returncode == 1
    assert json.loads(done.stdout)
    assert "1 of 2 files" in done.stderr
    assert "bad.wav" in done.stderr


def test_evaluate_writes_the_metrics_that_it_prints(run: Path, data: DatasetFolder) -> None:
    out, _ = invoke("evaluate", run, data.root, "--json")
    printed = json.loads(out)
    assert printed == json.loads((run / "evaluations" / f"{data.root.name}-test" / "metrics.json").read_text())
    assert printed["num_soundscapes"] == 4
    assert {"auroc_all", "psds1", "segment_f1_macro", "text_to_audio_recall_at_1", "intervals"} <= set(printed)
    # three of the four labels were never trained on by this run
    assert [row["held_out"] for row in printed["labels"]].count(False) == 1
    table, _ = invoke("evaluate", run, data.root, "--curves")
    assert "PSDS1_A" in table
    assert "unfiltered" in table
    kept = json.loads((run / "evaluations" / f"{data.root.name}-test" / "metrics.json").read_text())
    assert [point["name"] for point in kept["curves"]["clip_length"]] == ["1 s", "2 s", "5 s", "10 s"]


def test_runs_are_measured_on_several_datasets_and_compared(run: Path, data: DatasetFolder, tmp_path: Path) -> None:
    other = tmp_path / "other data"
    shutil.copytree(data.root, other)
    out, _ = invoke("evaluate", run, data.root, other, "--json", "--split", "valid")
    first, second = (json.loads(line) for line in out.splitlines())
    assert {**first, "data": ""} == {**second, "data": ""}
    again = tmp_path / "again"
    shutil.copytree(run, again)
    table, _ = invoke("compare", run, again)
    assert "other data-valid" in table
    assert "+0.000" in table
    compared = json.loads(invoke("compare", run, again, "--json")[0])
    assert compared["other data-valid"]["auroc_all"]["difference"] == 0.0


def test_other_models_scores_stand_beside_a_run(
    run: Path, data: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    own = json.loads(invoke("evaluate", run, data.root, "--json")[0])
    kept, _ = FrameScores.load(run / "evaluations" / f"{data.root.name}-test")
    columns = kept.rows(slice(0, own["num_labels"]))
    write_score_folder(tmp_path / "itself", columns)
    write_score_folder(tmp_path / "[red]half", dataclasses.replace(columns, values=columns.values / 2))
    table, told = invoke(
        "evaluate", run, data.root, "--scores", tmp_path / "itself", "--scores", tmp_path / "[red]half", "--baselines"
    )
    assert all(name in table for name in ("itself", "[red]half", "energy"))
    assert ("YAMNet" in table) == yamnet.is_installed() != ("no column for YAMNet, which is not installed" in told)
    folder = run / "evaluations" / f"{data.root.name}-test"
    found = json.loads((folder / "metrics.json").read_text())["baselines"]
    for name in ("auroc_all", "auroc_active_held_out", "psds1_a", "psds2", "segment_f1_macro_at_0.5", "ece"):
        assert found["itself"][name] == own[name]
    assert found["[red]half"]["auroc_all"] == own["auroc_all"]
    assert found["[red]half"]["ece"] != own["ece"]
    assert "<td>itself</td><td>[red]half</td><td>chance</td>" in (folder / "index.html").read_text()


def test_a_folder_of_scores_is_of_one_dataset_and_of_another_name_than_a_baseline(
    run: Path, data: DatasetFolder, tmp_path: Path
) -> None:
    with pytest.raises(FlamError, match="--scores DIR holds the scores of one dataset; name one DATA"):
        invoke("evaluate", run, data.root, tmp_path / "other", "--scores", tmp_path / "energy")
    with pytest.raises(FlamError, match="another column is called 'energy'; rename the folder"):
        invoke("evaluate", run, data.root, "--baselines", "--scores", tmp_path / "energy")
    first = split_soundscapes(data, "test")[0].soundscape_id
    with pytest.raises(FlamError, match=f"energy has no {first}.tsv, "):
        invoke("evaluate", run, data.root, "--scores", tmp_path / "energy")


def test_score_prints_one_line_of_json_and_says_what_has_no_value(tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "a.tsv").write_text("onset\toffset\tdog\n0.0\t1.0\t0.9\n1.0\t2.0\t0.2\n")
    (tmp_path / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t1.0\t1.0\tdog\n")
    (tmp_path / "durations.tsv").write_text("filename\tduration\na.wav\t2.0\n")
    arguments = ["score", scores, "--ground-truth", tmp_path / "truth.tsv", "--durations", tmp_path / "durations.tsv"]
    out, told = invoke(*arguments, "--json")
    assert len(out.splitlines()) == 1
    assert json.loads(out)["segment_f1_macro"] is None
    assert "segment_f1_macro has no value: the events of dog fill no part of a segment" in told
    table, _ = invoke(*arguments)
    assert "PSDS1A" in table


def test_phrases_are_shown_corrected_and_kept_for_captions(tmp_path: Path) -> None:
    labels = ("NA", "007", "=1+1", "[red]dog", "cat")
    data = dataset(tmp_path / "data", [soundscape("a", [event(label, (1, 2)) for label in labels])])
    shown, _ = invoke("phrases", data)
    assert "[red]dog" in shown  # not taken for markup
    assert "5 clusters" in shown
    printed, told = invoke("phrases", data, "--csv")
    assert told == ""
    (tmp_path / "mine.csv").write_text(printed)
    assert invoke("phrases", data, "--corrections", tmp_path / "mine.csv", "--csv") == (printed, "")
    header, *_ = printed.splitlines()
    (tmp_path / "mine.csv").write_text(f"{header}\n'=1+1,'=1+1,phrase,sums,,\ncat,,phrase,cat,,no\n")
    out, _ = invoke("phrases", data, "--corrections", tmp_path / "mine.csv", "--json")
    by_cluster = {one["cluster"]: one["phrases"] for one in json.loads(out)["clusters"]}
    assert {"phrase": "sums", "label": "=1+1", "origin": "correction"} in by_cluster["=1+1"]
    assert "cat" not in [one["phrase"] for one in by_cluster["cat"]]
    invoke("caption", data)
    assert "'=1+1,'=1+1,phrase,sums,correction,yes" in invoke("phrases", data, "--csv")[0]


def test_phrases_take_an_ontology_and_say_what_the_rules_left_out(tmp_path: Path) -> None:
    events = [event(label, (1, 2)) for label in ("Bark", "dog", "dog_bark", "Animal")]
    data = dataset(tmp_path / "data", [soundscape("a", events)])
    ontology = json.loads((ROOT / "tests" / "small_ontology.json").read_text())
    ontology[-1]["child_ids"] = [ontology[-1]["id"], "/t/gone"]
    (tmp_path / "o.json").write_text(json.dumps(ontology))
    out, told = invoke("phrases", data, "--ontology", tmp_path / "o.json", "--json")
    found = {one["cluster"]: one for one in json.loads(out)["clusters"]}
    assert found["Bark"]["ancestors"] == ["Animal", "dog"]
    assert "bow wow" in [one["phrase"] for one in found["Bark"]["phrases"]]
    assert "children of their own children: 1: 'Fire engine, fire truck (siren)'" in told
    assert "does not hold, ignored: 1: '/t/gone'" in told
    assert "does not know: 1: 'dog_bark'" in told
    assert "phrases that fit several clusters" in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--csv", "--json"], "choose one"),
        (["--model", "m"], "--via openai"),
        (["--prompt", "p.toml"], "--via openai"),
        (["--via", "openai"], "give --model"),
        (["--ontology", "none.json"], "none.json: No such file"),
        (["--corrections", "none.csv"], "none.csv: No such file"),
        (["--via", "openai", "--model", "m", "--prompt", "none.toml"], "none.toml: No such file"),
    ],
)
def test_options_of_phrases_that_cannot_work_are_one_line(options: list[str], said: str, tmp_path: Path) -> None:
    data = dataset(tmp_path, [soundscape("a", [event("dog", (1, 2))])])
    with pytest.raises(FlamError, match=said) as error:
        invoke("phrases", data, *options)
    assert "\n" not in str(error.value)


def test_a_model_is_asked_about_labels_as_it_is_said(tmp_path: Path) -> None:
    data = dataset(tmp_path, [soundscape("a", [event(label, (1, 2)) for label in ("dog", "cat", "cow")])])
    open_calls, most = [0], [0]

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        open_calls[0] += 1
        most[0] = max(most[0], open_calls[0])
        time.sleep(0.1)
        open_calls[0] -= 1
        assert body["max_completion_tokens"] == 3000
        return 200, completion('{"synonyms": ["x"], "near_misses": [], "parents": []}')

    with OddServer(answer) as server:
        asking = ("--via", "openai", "--model", "m", "--base-url", server.base_url, "--max-answer-tokens", 3000)
        _, told = invoke("phrases", data, *asking, "--concurrency", 1)
        assert "3 labels answered" in told
    assert most == [1]
    waits = iter([1.0, 0.0, 0.0, 0.0])
    with OddServer(lambda body: time.sleep(next(waits)) or answer(body)) as server:  # type: ignore[func-returns-value]
        asking = ("--via", "openai", "--model", "m2", "--base-url", server.base_url, "--max-answer-tokens", 3000)
        invoke("phrases", data, *asking, "--timeout", 0.5)
        assert len(server.bodies) == 4  # one was not waited for


@pytest.mark.parametrize(
    ("num_bad", "bad", "said"),
    [
        (1, {"finish_reason": "length"}, None),
        (2, {"finish_reason": "length"}, "2 of 3 texts are templates.* 2 by 'finished': .* raise --max-answer-tokens"),
        (2, {"status": 400}, "2 by 'refused by the server': questions may be too long"),
        (2, {"content": "I'm sorry, but I can't."}, "2 by 'no_chatter': .* another --model .* under another --name"),
        (3, {"finish_reason": "length"}, "3 of 3 texts are templates.* 3 by 'finished'"),
    ],
)
def test_a_run_of_more_templates_than_answers_says_why_and_one_without_answers_fails(
    tmp_path: Path, num_bad: int, bad: dict[str, Any], said: str | None
) -> None:
    data = dataset(tmp_path, numbered(3))

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        if not any(f"number n{number}x" in str(body["messages"]) for number in range(num_bad)):
            return truthful(body)
        content = bad.get("content", '{"caption": "A do')
        return bad.get("status", 200), completion(content, finish_reason=bad.get("finish_reason", "stop"))

    with OddServer(answer) as server:
        command = ["caption", str(data), "--via", "openai", "--model", "m", "--base-url", server.base_url]
        if num_bad == 3:
            with pytest.raises(FlamError, match=str(said)):
                invoke(*command)
            assert "0 texts made, 3 there before" in invoke(*command)[1]  # it was stored
            return
        _, told = invoke(*command)
    assert bool(re.search(f"warning: .*{said}", told)) == (said is not None)
    assert ("warning" in told) == (said is not None)


def test_export_writes_for_the_hub_and_says_what_is_there(data: DatasetFolder, tmp_path: Path) -> None:
    _, told = invoke("export", data.root, "--out", tmp_path / "hub")
    assert f"12 soundscapes (6 train, 2 valid, 4 test) in {tmp_path / 'hub'}: 3 files" in told.replace("\n", " ")
    wrong = as_process("export", data.root, "--out", tmp_path / "other", "--captions", "gpt")
    assert "has no captions 'gpt' (there: template)" in wrong.stderr
    assert not (tmp_path / "other").exists()


def test_validate_finds_what_is_broken(data: DatasetFolder, tmp_path: Path) -> None:
    assert "is sound" in invoke("validate", data.root, "--read-audio")[1]
    broken = DatasetFolder(Path(shutil.copytree(data.root, tmp_path / "data")))
    recording(broken).unlink()
    done = as_process("validate", broken.root)
    assert done.returncode == 1
    assert recording(data).stem in done.stdout


@pytest.mark.parametrize("value", ["-1", "0", "x"])
def test_a_learning_rate_that_cannot_be_is_a_usage_error(data: DatasetFolder, tmp_path: Path, value: str) -> None:
    done = CliRunner().invoke(
        cli.app, ["train", str(data.root), "--out", str(tmp_path / "r"), "--learning-rate", value]
    )
    assert done.exit_code == 2
    assert "--learning-rate" in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_one_ctrl_c_ends_training_in_seconds_with_130_and_a_word(data: DatasetFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import cli; cli.run()", "train", str(data.root), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "config.json"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)  # into the first steps
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - asked < 5
    assert "run the same command again to go on" in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_the_whole_pipeline_on_a_folder_of_ones_own(tmp_path: Path) -> None:
    """From folders to a detection, by the README's commands."""
    import numpy as np
    from conftest import TOY_RATE, TOY_SOUNDS, toy_sound

    rng = np.random.default_rng(0)
    for label in TOY_SOUNDS:
        folder = tmp_path / "sounds" / "foreground" / label
        folder.mkdir(parents=True)
        for i in range(4):
            soundfile.write(folder / f"{i}.wav", toy_sound(label, rng, 8_000 + 2_000 * i), TOY_RATE)
    folder = tmp_path / "sounds" / "background" / "room tone"
    folder.mkdir(parents=True)
    for i in range(4):
        soundfile.write(folder / f"{i}.wav", 0.01 * rng.standard_normal(12 * TOY_RATE), TOY_RATE)
    bank, data, run = tmp_path / "bank", tmp_path / "data", tmp_path / "run"
    invoke("bank", tmp_path / "sounds", "--out", bank, "--rate", 16_000, "--workers", 1)
    invoke("simulate", "--bank", bank, "--num", 30, "--out", data, "--workers", 1)
    invoke("caption", data)
    invoke("train", data, "--out", run, "--steps", 3, "--batch-size", 4, "--evaluate-every", 3)
    invoke("evaluate", run, data)
    invoke("validate", data, "--read-audio")
    out, _ = invoke("detect", run, recording(DatasetFolder(data)), "--phrase", "a high tone", "--json")
    assert isinstance(json.loads(out), list)


def test_a_dataset_of_plans_is_trained_on_measured_rendered_and_found_sound(tmp_path: Path) -> None:
    """Without a WAV of it, with its bank moved, and rendered in part at last."""
    bank, data, run = tmp_path / "bank", tmp_path / "data", tmp_path / "run"
    write_bank(bank)
    (tmp_path / "mine.toml").write_text("duration = 1.0\n")
    invoke(
        "simulate", "--bank", bank, "--out", data, "--num", 30, "--recipe", tmp_path / "mine.toml", "--audio", "none"
    )
    invoke("caption", data)
    moved = bank.rename(tmp_path / "moved")
    stopped = as_process("train", data, "--out", run, "--steps", 0)
    assert stopped.returncode == 1
    assert "say where it is with --bank" in stopped.stderr
    invoke("train", data, "--out", run, "--steps", 0, "--bank", moved)
    invoke("evaluate", run, data, "--bank", moved, "--split", "valid")
    invoke("validate", data)
    assert not (data / "audio").exists()
    _, told = invoke("render", data, "--bank", moved, "--split", "test")
    assert f"{len(list(data.rglob('*.wav')))} soundscapes rendered, 0 were there" in told
    invoke("validate", data, "--read-audio", "--bank", moved)


def test_what_train_is_told_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All options but those that other tests use, on two datasets."""
    folders = [make_toy_dataset(tmp_path / name, train=2, valid=0, test=0).root for name in ("one", "two")]
    begun = tmp_path / "begun"
    (begun / "model").mkdir(parents=True)
    told = _told(folders, tmp_path / "run", monkeypatch)
    (datasets, out, config), options = told(
        *shlex.split("--weight 3 --weight 0.5 --recipe flam --size small --hop 160 --patience 2 --captions a/sentence"),
        *shlex.split(
            "--masked-weight 0.25 --no-online --learning-rate 0.01 --evaluate-every 7 --seed 5 --batch-size 3"
        ),
        *shlex.split("--steps 9 --device meta"),
    )
    assert [(one.root, one.weight) for one in datasets] == [(folders[0], 3.0), (folders[1], 0.5)]
    assert out == tmp_path / "run"
    assert options == {"init": None, "device": "meta"}
    assert config.prior_weight > 0
    assert (config.model.channels, config.model.hop) == (SIZES["small"]["channels"], 0.16)
    assert (config.patience, config.caption_set, config.masked_weight) == (2, "a/sentence", 0.25)
    assert (config.online, config.learning_rate, config.evaluate_every) == (False, 0.01, 7)
    assert (config.seed, config.batch_size, config.steps) == (5, 3, 9)
    card = ModelCard(model=ModelConfig(text="hash"), trained_clusters=(), threshold=0.5)
    write_json(begun / "model" / "config.json", card.model_dump())
    (datasets, _, config), options = told("--init", str(begun))
    assert [one.weight for one in datasets] == [1.0, 1.0]
    assert options["init"] == begun
    assert config == TrainConfig(model=card.model)


def test_fresh_soundscapes_are_made_from_the_bank_which_may_have_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, data = tmp_path / "bank", tmp_path / "data"
    write_bank(bank)
    (tmp_path / "mine.toml").write_text("duration = 1.0\n")
    invoke("simulate", "--bank", bank, "--out", data, "--num", 30, "--recipe", tmp_path / "mine.toml")
    told = _told([data], tmp_path / "run", monkeypatch)

    def makes_more(*options: str) -> bool:
        ((dataset,), _, config), _ = told(*options)
        assert config.online is {"--online": True, "--no-online": False}.get(options[0] if options else "")
        return dataset.fresh is not None

    assert makes_more()
    assert makes_more("--online")
    assert not makes_more("--no-online")
    moved = bank.rename(tmp_path / "moved")
    assert makes_more("--bank", str(moved))
    assert not makes_more("--no-online")
    for options in ([], ["--online"]):
        done = CliRunner().invoke(cli.app, ["train", str(data), "--out", str(tmp_path / "run"), *options])
        assert isinstance(done.exception, FlamError)
        assert str(done.exception).endswith(
            "say where it is with --bank; or --no-online, to hear its own soundscapes again each epoch"
        )
    moved.rename(bank)
    info = json.loads((data / "dataset.json").read_text("utf-8"))
    effects = {"pitch_semitones": 1.0, "time_stretch": 1.1, "tilt_db": 1.0, "reverb": {"share": 0.5}}
    slow: list[dict[str, Any]] = [{"engine": "scaper"}, {"recipe": {**info["recipe"], "duration": 61.0}}]
    for name, value in {**effects, "microphone": {"share": 0.5}}.items():
        slow.append({"recipe": {**info["recipe"], name: value}})
    for one in slow:
        (data / "dataset.json").write_text(json.dumps({**info, **one}))
        assert not makes_more(), one
    assert makes_more("--online")
    done = CliRunner().invoke(cli.app, ["train", str(data), "--out", str(tmp_path / "run")])
    assert f"{data}: its own soundscapes are heard again each epoch: fresh ones take long" in " ".join(
        done.stderr.split()
    )
    (data / "dataset.json").write_text(json.dumps({**info, "recipe": {}}))
    done = CliRunner().invoke(cli.app, ["train", str(data), "--out", str(tmp_path / "run")])
    assert f"{data / 'dataset.json'} does not say what its soundscapes were made from" in str(done.exception)


def test_several_datasets_each_take_the_bank_that_they_were_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose bank moved, one whose bank did not, and an imported one, which has none."""
    (tmp_path / "mine.toml").write_text("duration = 1.0\n")
    data, banks = [tmp_path / "data-0", tmp_path / "data-1"], [tmp_path / "bank-0", tmp_path / "bank-1"]
    for bank, one, sounds in zip(banks, data, (default_sounds(), default_sounds()[:-1]), strict=True):
        write_bank(bank, sounds)
        made = ("--bank", bank, "--out", one, "--num", 30, "--recipe", tmp_path / "mine.toml", "--audio", "none")
        invoke("simulate", *made)
    make_toy_dataset(tmp_path / "real", train=2, valid=0, test=0)
    told = _told([*data, tmp_path / "real"], tmp_path / "run", monkeypatch)
    moved = banks[0].rename(tmp_path / "moved")
    for given in ([moved], [moved, banks[1]], [banks[1], moved]):
        (found, _, _), _ = told(*(part for one in given for part in ("--bank", str(one))))
        for one in found[:2]:
            row = next(iter(DatasetFolder(one.root).soundscapes()))
            assert one.render(row).samples.size == row.num_samples  # which another bank's sounds would not make
            assert one.fresh is not None
        assert found[2].render is None
        assert found[2].fresh is None
    both, run = [*map(str, data), "--bank"], tmp_path / "run"
    done = CliRunner().invoke(cli.app, ["train", *both, str(banks[1]), "--out", str(run)])
    assert str(done.exception).startswith(f"the bank of {data[0]} is not at ")
    done = CliRunner().invoke(cli.app, ["train", str(data[1]), "--bank", str(moved), "--out", str(run)])
    assert str(done.exception).startswith(f"{moved} is another bank than the dataset was made from")
    monkeypatch.undo()
    for one in data:
        invoke("caption", one)
    invoke("train", data[1], "--out", run, "--steps", 0)
    invoke("evaluate", run, *both, moved, "--split", "valid")


def _told(folders: list[Path], run: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """What `train` on datasets gives to the loop, by its options."""
    import training.loop

    asked: list[tuple[Any, Any]] = []

    def noted(*arguments: Any, **options: Any) -> None:
        asked.append((arguments, options))
        raise FlamError("noted")

    monkeypatch.setattr(training.loop, "train", noted)

    def told(*options: str) -> tuple[Any, Any]:
        done = CliRunner().invoke(cli.app, ["train", *map(str, folders), "--out", str(run), *options])
        assert isinstance(done.exception, FlamError), done.output
        assert str(done.exception) == "noted"
        return asked[-1]

    return told


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"steps = "])
def test_a_recipe_that_is_none_is_not_shown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    for name in (str(tmp_path / "mine.toml"), "n" * 300):
        done = CliRunner().invoke(cli.app, ["train", "--show-recipe", name])
        assert isinstance(done.exception, FlamError), done.output
