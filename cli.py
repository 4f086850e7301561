"""The commands: parse, call one function, print. Heavy imports stand inside the bodies, so that --help is quick."""

import contextlib
import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console

from cli_print import (
    detection_row,
    print_asked,
    print_bank,
    print_captioned,
    print_estimate,
    print_exported,
    print_found,
    print_imported,
    print_json,
    print_metrics,
    print_simulated,
    talk,
)
from manifests.errors import FlamError

if TYPE_CHECKING:
    from curation.fresh import FreshSoundscapes
    from evaluation.score_folder import ScoreFolder
    from evaluation.scored import Detector as Compared
    from manifests.store import DatasetFolder, Render

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Labelled sounds in, a model that finds free text in recordings out.",
)
_INTERRUPTED = 130  # what Typer exits with after Ctrl-C
_TOO_LITTLE = "not enough memory; to train in less, lower --batch-size or set micro_batch in a recipe"

Workers = Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of every random draw: the same seed, the same result.")]
BankOf = Annotated[
    Path | None, typer.Option(help="Its sound bank, if it has moved since: audio that is not there is made from it.")
]
BanksOf = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="Their sound bank, if it has moved since, for audio not there and, in train, fresh soundscapes. May be "
        "repeated: each dataset takes the one that it was made from.",
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls at a time.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for one attempt of a call.")]
MaxAnswerTokens = Annotated[
    int, typer.Option(min=1, help="Of one answer, thoughts included; a model that thinks long needs more.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that a pretrained encoder's repository brings.")
]


def _png(path: Path | None) -> Path | None:
    """Lest a recording be drawn over that stands where the picture's name should."""
    if path is not None and path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path} does not end in .png")
    return path


def run() -> None:
    """Entry point: exit 0 done, 1 a user's error in one line, 2 usage, 130 interrupted."""
    # torch's waiting threads spin by default: beside one busy program, training then runs at a quarter of its speed;
    # this way at a half, and alone as fast as ever. It must be set before torch is loaded
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    if sys.stdout is None:  # closed by `>&-`
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the program
    try:
        try:
            app()
        except SystemExit:
            sys.stdout.flush()
            raise
    except FlamError as error:
        _fail(str(error))
    except MemoryError:
        _fail(_TOO_LITTLE)
    except RuntimeError as error:  # torch's
        if "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        _fail(_TOO_LITTLE)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            talk.print("flam-cli: interrupted; run the same command again to go on", markup=False)
            os._exit(_INTERRUPTED)  # threads that still read ahead would be waited for
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(f"cannot write what was found: {error.strerror}")


def _fail(message: str) -> NoReturn:
    talk.print(f"flam-cli: {message}", markup=False, highlight=False)
    with contextlib.suppress(OSError):  # or Python would say once more what its stdout could not take
        sys.stdout.close()
    sys.exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("demo"),
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Run the whole pipeline on built-in sounds: no input, no network, no key.

    Example: flam-cli demo
    """
    import cli_demo
    from curation.runner import available_cores

    cli_demo.run(out, seed=seed, workers=workers or available_cores())


@app.command()
def bank(  # noqa: PLR0913 - one parameter for each option
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Folder, CSV, or: builtin")],
    out: Annotated[Path, typer.Option(help="Folder for the sound bank.")],
    rate: Annotated[int, typer.Option(help="Sample rate of the bank, Hz.")] = 32_000,
    foreground_seconds: Annotated[
        tuple[float, float] | None, typer.Option(help="Shortest and longest event, trimmed; others are rejects.")
    ] = None,
    background_seconds: Annotated[float | None, typer.Option(help="Shortest background, trimmed.")] = None,
    backgrounds: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder of recordings without labels, for backgrounds; may be repeated."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="FAMILIES", help="Only sounds under these, as cc0,cc-by; all by default.")
    ] = None,
    valid_share: Annotated[float, typer.Option(help="Of each label's groups, where no split is given.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Of each label's groups, where no split is given.")] = 0.1,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Prepare labelled sounds: decoded, resampled, trimmed and measured once.

    A SOURCE is a folder with foreground/LABEL/*, background/LABEL/* and perhaps impulse_response/ROOM/*, a CSV file
    with columns path, role, label (and others: docs/data.md), ESC-50, UrbanSound8K, FSD50K, DESED's sound bank or
    AudioSet's strong labels as they are published, or the word builtin. FSD50K does not say what is an event: a
    recording of 1 to 7.5 s is one, and one of 10 s or more is a background, unless the two options of lengths say
    otherwise. What is heard in the recordings of --backgrounds is unknown: in their soundscapes nothing is absent.

    Example: flam-cli bank builtin --out bank
    """
    from curation.bank import build_bank
    from curation.lengths import Lengths
    from curation.licences import parse_families
    from curation.runner import available_cores

    report = build_bank(
        sources,
        out,
        sample_rate=rate,
        seed=seed,
        workers=workers or available_cores(),
        valid_share=valid_share,
        test_share=test_share,
        lengths=Lengths(foreground=foreground_seconds, background=background_seconds),
        backgrounds=backgrounds or (),
        licences=parse_families(licence) if licence is not None else (),
    )
    print_bank(report)


def _show_recipe(name: str | None) -> None:
    """Print a recipe's file and end; typer calls it before it asks for the other options."""
    if name is not None:
        from curation.config import load_recipe, recipe_path

        load_recipe(name)  # says what is wrong with a name or a file
        typer.echo(recipe_path(name).read_text("utf-8"), nl=False)
        raise typer.Exit


@app.command()
def simulate(  # noqa: PLR0913 - as above
    bank: Annotated[Path, typer.Option(help="Sound bank, by `flam-cli bank`.")],
    out: Annotated[Path, typer.Option(help="Dataset folder.")],
    num: Annotated[int, typer.Option(min=1, help="Soundscapes that the dataset is to have.")],
    recipe: Annotated[str, typer.Option(help="Name of a built-in recipe, or a TOML file.")] = "finelap-100k",
    engine: Annotated[Literal["mix", "scaper"], typer.Option(help="scaper is the slow reference.")] = "mix",
    audio: Annotated[
        Literal["none", "wav", "flac", "shards"],
        typer.Option(help="Files; or shards: inside the Parquet files; or none: rendered when it is read."),
    ] = "wav",
    split: Annotated[
        Literal["train", "valid", "test"] | None, typer.Option(help="Of all soundscapes; else by the recipe's shares.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    show_recipe: Annotated[  # noqa: ARG001 - its callback ends the program
        str | None,
        typer.Option(metavar="NAME", is_eager=True, callback=_show_recipe, help="Print a built-in recipe, and end."),
    ] = None,
) -> None:
    """Mix soundscapes with exact labels from a sound bank. Run it again to go on, or with a larger --num to add.

    Example: flam-cli simulate --bank bank --num 1000 --out data

    For a recipe of your own: flam-cli simulate --show-recipe finelap-100k > mine.toml
    """
    from curation.config import load_recipe
    from curation.simulate import simulate as make_soundscapes

    report = make_soundscapes(
        bank,
        out,
        recipe=load_recipe(recipe),
        num=num,
        seed=seed,
        engine=engine,
        audio_format=audio,
        split=split,
        workers=workers,
    )
    print_simulated(report, out)


@app.command()
def render(
    data: Annotated[Path, typer.Argument(help="Dataset folder without audio files.")],
    split: Annotated[Literal["train", "valid", "test"] | None, typer.Option(help="Only these soundscapes.")] = None,
    num: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    bank: BankOf = None,
    workers: Workers = None,
) -> None:
    """Write the audio of a dataset of plans, or of a part of it, into files. Run it again to go on.

    Example: flam-cli render data --split test --num 20
    """
    from curation.render import render as write_audio

    report = write_audio(data, bank=bank, split=split, num=num, workers=workers)
    talk.print(f"{report.num_rendered} soundscapes rendered, {report.num_there} were there, in {data / 'audio'}")


@app.command("import")
def import_(
    kind: Annotated[
        Literal[
            "desed",
            "audioset-strong",
            "urban-sed",
            "maestro",
            "audiogrounding",
            "esc50",
            "urbansound8k",
            "vggsound",
            "audiocaps",
            "clotho",
            "finelap",
        ],
        typer.Argument(metavar="KIND", help="Which set it is, or in whose format."),
    ],
    path: Annotated[Path, typer.Argument(help="Folder that it was unpacked to, or a file of its labels.")],
    out: Annotated[Path, typer.Option(help="Dataset folder.")],
    audio: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its recordings, if they are not below PATH.")
    ] = None,
    split: Annotated[
        Literal["train", "valid", "test"] | None, typer.Option(help="Of all clips; else the set's own.")
    ] = None,
    annotation: Annotated[
        Literal["closed", "open", "none"] | None,
        typer.Option(help="closed: each clip lists all of its sounds; else as docs/data.md says of the set."),
    ] = None,
) -> None:
    """Take a published set as a dataset: its labels, its captions, and its recordings by links.

    KIND is desed, audioset-strong, urban-sed, maestro, audiogrounding, esc50, urbansound8k, vggsound, audiocaps,
    clotho or finelap, each in the layout in which it is published: docs/data.md says what is taken from it.

    Example: flam-cli import desed dcase/dataset --out desed

    All of ESC-50 to test on: flam-cli import esc50 ESC-50-master --split test --out esc50
    """
    from curation.imports.importing import import_set

    print_imported(import_set(kind, path, out, audio=audio, split=split, annotation=annotation), out)


def _show_prompt(style: str | None) -> None:
    """Print a prompt's file and end; as `_show_recipe`."""
    if style is not None:
        from curation.prompt import load_prompt, prompt_path

        load_prompt(style)  # says what is wrong with a name or a file
        typer.echo(prompt_path(style).read_text("utf-8"), nl=False)
        raise typer.Exit


@app.command()
def caption(  # noqa: PLR0913 - as above
    data: Annotated[Path, typer.Argument(help="Dataset folder.")],
    via: Annotated[Literal["template", "openai"], typer.Option(help="Who writes.")] = "template",
    model: Annotated[str | None, typer.Option(help="Language model, with --via openai.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Of a server with OpenAI's protocol.")] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            help="sentence, terse, temporal, counts, event (a phrase for each sound), or a prompt file of your own; "
            "may be repeated. [default: sentence]"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the caption set; by default template or the model.")] = None,
    concurrency: Concurrency = 8,
    per_request: Annotated[int, typer.Option(min=1, max=50, help="Soundscapes in one question.")] = 1,
    batch: Annotated[
        bool,
        typer.Option(help="Ask through the Batch API: up to a day, at a lower price. May be stopped and run again."),
    ] = False,
    timeout: Timeout = 60.0,
    max_answer_tokens: MaxAnswerTokens = 1000,
    max_tokens_total: Annotated[
        int | None, typer.Option(min=1, help="That the set may use, questions and answers, all runs together.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Dollars that the set may cost, all runs together; needs --price.")
    ] = None,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="IN OUT", help="Dollars for a million tokens of questions, and of answers."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what there is to do and what it may cost, and end.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first soundscapes.")] = None,
    seed: Seed = 0,
    show_prompt: Annotated[  # noqa: ARG001 - its callback ends the program
        str | None,
        typer.Option(metavar="STYLE", is_eager=True, callback=_show_prompt, help="Print a style's prompt, and end."),
    ] = None,
) -> None:
    """Write captions for each soundscape, and the phrase table. Run it again to go on, or with another --style to add.

    A model's answers are checked against what is heard; one that fails is asked for again once, and then a template
    takes its place, marked. The key is read from OPENAI_API_KEY.

    Example: flam-cli caption data

    A local model: flam-cli caption data --via openai --base-url http://localhost:11434/v1 --model qwen3
    """
    from curation.budget import Prices
    from curation.caption import Spending, estimate
    from curation.caption import caption as make_captions
    from curation.caption_advice import complaint, is_useless

    if via == "template" and (batch or dry_run or max_tokens_total or max_cost is not None or price or per_request > 1):
        raise FlamError(
            "templates cost nothing: --dry-run, --batch, --per-request, limits and prices go with --via openai"
        )
    prices = Prices(prompt=price[0], completion=price[1]) if price else None
    styles = tuple(style or ["sentence"])
    if dry_run:
        print_estimate(
            estimate(data, name=name, model=model, base_url=base_url, styles=styles, limit=limit, prices=prices)
        )
        return
    report = make_captions(
        data,
        via=via,
        name=name,
        model=model,
        base_url=base_url,
        styles=styles,
        per_request=per_request,
        concurrency=concurrency,
        batch=batch,
        spending=Spending(most_tokens=max_tokens_total, most_cost=max_cost, prices=prices),
        seed=seed,
        limit=limit,
        timeout=timeout,
        max_answer_tokens=max_answer_tokens,
    )
    print_captioned(report, asked=via == "openai")
    if problem := complaint(report):
        if is_useless(report):
            raise FlamError(problem)
        talk.print(f"warning: {problem}", markup=False, highlight=False)


@app.command()
def phrases(  # noqa: PLR0913 - as above
    data: Annotated[Path, typer.Argument(help="Dataset folder.")],
    ontology: Annotated[Path | None, typer.Option(metavar="FILE", help="In AudioSet's JSON format.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV as --csv prints it, with keep set to no, or more rows.")
    ] = None,
    via: Annotated[Literal["openai"] | None, typer.Option(help="Ask a language model, too.")] = None,
    model: Annotated[str | None, typer.Option(help="Language model, with --via openai.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Of a server with OpenAI's protocol.")] = None,
    prompt: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML of your own, to ask with.")] = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    max_answer_tokens: MaxAnswerTokens = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the wordings of each sound. What is given is kept in the dataset: docs/data.md says how they are reviewed.

    Example: flam-cli phrases data --csv > mine.csv

    Then, when mine.csv is corrected: flam-cli phrases data --corrections mine.csv
    """
    from curation.llm import Server
    from curation.phrases import ontology_notes, update_phrases
    from curation.phrases_csv import to_csv
    from curation.phrases_review import summary
    from curation.phrases_view import phrases_json, phrases_view

    if as_csv and as_json:
        raise FlamError("--csv and --json are two formats; choose one")
    if via is None and (model or base_url or prompt):
        raise FlamError(
            "--model, --base-url and --prompt are for a language model; add `--via openai` or leave them out"
        )
    if via is not None and not (model or "").strip():
        raise FlamError("no model to ask: give --model, as the server calls it")
    server = None
    if via is not None:
        server = Server(
            model=model or "",
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            max_answer_tokens=max_answer_tokens,
        )
    table, asked = update_phrases(data, ontology=ontology, corrections=corrections, server=server, prompt=prompt)
    if asked is not None:
        print_asked(asked)
    for line in (*ontology_notes(data, table), *summary(table.findings)):
        talk.print(line, markup=False, highlight=False)
    if as_csv:
        sys.stdout.write(to_csv(table))
    elif as_json:
        print_json(phrases_json(table))
    else:
        Console().print(phrases_view(table))


@app.command()
def export(
    data: Annotated[Path, typer.Argument(help="Dataset folder with captions.")],
    out: Annotated[Path, typer.Option(help="Folder for the hub.")],
    captions: Annotated[
        str, typer.Option(help="Caption sets to publish, each perhaps with a style: template,qwen3/terse.")
    ] = "template",
    bank: BankOf = None,
) -> None:
    """Write a dataset for the Hugging Face hub: audio, captions and phrases in Parquet. Run it again to go on.

    The columns are FineLAP-100k's and a few more; `flam-cli import finelap` reads them again.

    Example: flam-cli export data --out hub

    Then upload the folder, or, in Python: datasets.load_dataset("hub")
    """
    from curation.export import export as write_files
    from manifests.store import DatasetFolder

    report = write_files(DatasetFolder.open(data, render=_render_of(data, bank)), out, captions=captions)
    print_exported(report, out)


def _show_training_recipe(name: str | None) -> None:
    """Print a training recipe's file and end; as `_show_recipe`."""
    if name is not None:
        from training.recipe import read_recipe, recipe_path

        read_recipe(name)  # says what is wrong with a name or a file
        typer.echo(recipe_path(name).read_text("utf-8"), nl=False)
        raise typer.Exit


@app.command()
def train(  # noqa: PLR0913 - as above
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Dataset folders, mixed by --weight; the first with valid soundscapes is validated on.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    recipe: Annotated[str, typer.Option(help="finelap, flam, or a .toml file: the objective and all settings.")] = (
        "finelap"
    ),
    init: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run whose model to begin with, on new data and new labels.")
    ] = None,
    size: Annotated[Literal["small", "base", "large"] | None, typer.Option(help="Of the audio encoder; base.")] = None,
    hop: Annotated[Literal["40", "160"] | None, typer.Option(help="Milliseconds of a frame; 40.")] = None,
    audio_encoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Pretrained: yamnet, or of transformers a repository or a folder."),
    ] = None,
    text_encoder: Annotated[str | None, typer.Option(metavar="NAME", help="Pretrained, of transformers.")] = None,
    trust_remote_code: TrustRemoteCode = False,
    steps: Annotated[int | None, typer.Option(min=0, help="Optimizer steps, 1562; 0: an untrained model.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Soundscapes a step, 32.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-9, max=10, help="At its highest, 0.002.")] = None,
    online: Annotated[
        bool | None,
        typer.Option(
            "--online/--no-online",
            help="From the second epoch on, fresh soundscapes of a dataset's recipe; by default but where effects "
            "or Scaper make that slow, or captions are not the templates'.",
        ),
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(min=1e-3, max=1e3, help="One for each DATA: its share; 1.")
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(
            help="Caption sets to learn from, each perhaps with a style: template,qwen3/terse; its own, else template, "
            "else all."
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(min=1, help="Steps from one validation to the next, 500.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many validations without a better one.")
    ] = None,
    masked_weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="In the loss, of labels that other sounds hide: 0 to 1; 1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Of all random draws, 0.")] = None,
    show_recipe: Annotated[  # noqa: ARG001 - its callback ends the program
        str | None,
        typer.Option(
            metavar="NAME", is_eager=True, callback=_show_training_recipe, help="Print a built-in recipe, and end."
        ),
    ] = None,
    bank: BanksOf = None,
    device: Device = "cpu",
) -> None:
    """Train a compact model. Run it again to go on where it was stopped.

    Example: flam-cli train data --out run

    For settings of your own: flam-cli train --show-recipe finelap > mine.toml

    Started by torchrun, several processes share the run (docs/model.md).
    """
    from curation.render import banks_of
    from training.loop import read_log
    from training.loop import train as fit
    from training.plots import plot_training
    from training.recipe import load_config
    from training.sources import Data

    _trust(trust_remote_code)
    weights = weight or [1.0] * len(data)
    if len(weights) != len(data):
        raise FlamError(f"{len(weights)} --weight for {len(data)} datasets; give one for each, in their order")
    config = load_config(
        recipe,
        init=init,
        size=size,
        hop_ms=int(hop) if hop else None,
        audio=audio_encoder,
        text=text_encoder,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        online=online,
        caption_set=captions,
        evaluate_every=evaluate_every,
        patience=patience,
        masked_weight=masked_weight,
        seed=seed,
    )
    datasets = [
        Data(
            root=path,
            weight=share,
            render=_render_of(path, made_from),
            fresh=_fresh_of(path, made_from, config.online),
        )
        for path, share, made_from in zip(data, weights, banks_of(data, bank or []), strict=True)
    ]
    report = fit(datasets, out, config, init=init, device=device)
    if not report.is_main:
        return
    if rows := read_log(out / "metrics.jsonl"):
        plot_training(out / "training.png", rows)
    measured = {
        name: value
        for name, value in report.best.items()
        if name.startswith(("auroc", "segment")) and value is not None
    }
    talk.print(f"{report.num_parameters / 1e6:.2f} M parameters, {report.steps} steps in {report.seconds:.0f} s")
    talk.print(
        f"kept step {report.best.get('step', report.steps)}"
        + "".join(f", {name} {value:.3f}" for name, value in measured.items())
        + (" on validation data" if "score" in report.best else ": no dataset has validation soundscapes with events")
    )


@app.command()
def evaluate(  # noqa: PLR0913 - as above
    run: Annotated[Path, typer.Argument(help="Folder by `flam-cli train`.")],
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Dataset folders.")],
    split: Annotated[Literal["train", "valid", "test"], typer.Option(help="Which soundscapes.")] = "test",
    captions: Annotated[
        str | None, typer.Option(help="Caption sets for retrieval, as in train; its own or template's by default.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first soundscapes.")] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Beside chance, label prior, energy and, if installed, YAMNet.")
    ] = False,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Beside another model's scores, SOUNDSCAPE_ID.tsv as for `score`; may be repeated."
        ),
    ] = None,
    curves: Annotated[
        bool,
        typer.Option("--curves", help="AUROC by band, clip length and wording: hears up to 120 soundscapes again."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a line for each dataset.")] = False,
    trust_remote_code: TrustRemoteCode = False,
    bank: BanksOf = None,
    device: Device = "cpu",
) -> None:
    """Measure a run on datasets, each into RUN/evaluations/NAME-SPLIT. Run it again to go on where it was stopped.

    Example: flam-cli evaluate run data

    Beside another model's scores, in the folder panns: flam-cli evaluate run data --baselines --scores panns
    """
    from curation.render import banks_of
    from evaluation.baselines import BASELINES, measured_beside
    from evaluation.evaluate import evaluate as measure
    from evaluation.evaluate import with_curves
    from evaluation.kept import evaluation_folders, keep
    from evaluation.report import write_report
    from evaluation.results import evaluation_table
    from evaluation.robustness import curves_table
    from evaluation.score_folder import score_folders
    from evaluation.scored import split_soundscapes
    from manifests.captions import preferred_captions
    from manifests.store import DatasetFolder, locked
    from training.detect import Detector

    others = score_folders(scores or (), taken=BASELINES if baselines else ())
    if others and len(data) > 1:
        raise FlamError("--scores DIR holds the scores of one dataset; name one DATA")
    _trust(trust_remote_code)
    detector = Detector.load(run, device=device)
    trained = detector.card.trained()
    folders = [
        DatasetFolder.open(path, render=_render_of(path, made_from))
        for path, made_from in zip(data, banks_of(data, bank or []), strict=True)
    ]
    for folder, work in zip(folders, evaluation_folders(run, data, split), strict=True):
        chosen = captions
        if chosen is None:
            asked = {soundscape.soundscape_id for soundscape in split_soundscapes(folder, split, limit=limit)}
            chosen = preferred_captions(folder, among=asked)
        with locked(work, "flam-cli evaluate"):
            columns: dict[str, Compared | ScoreFolder] = {**others}
            if baselines:
                columns |= _baselines(folder, split, detector.hop)
            beside = measured_beside(  # first: what is wrong with a folder of scores is said at once
                columns, folder, split=split, trained=trained, caption_set=chosen, limit=limit
            )
            result = measure(detector, folder, split=split, trained=trained, caption_set=chosen, limit=limit, work=work)
            if curves:
                result = with_curves(result, detector, folder, trained=trained, limit=limit, work=work)
            metrics = keep(work, result, data=folder.root, limit=limit, baselines=beside)
            page = write_report(work, result, folder, beside=beside)
        if as_json:
            typer.echo(json.dumps(metrics))
        else:
            title = str(folder.root) if len(data) > 1 else ""
            Console().print(evaluation_table(result, title=title, baselines=beside))
            if curves:
                Console().print(curves_table(result.robustness))
        for note in [note for other in others.values() for note in other.notes]:
            talk.print(note, markup=False)
        talk.print(f"to look at and listen to: {page}", markup=False)


def _baselines(folder: "DatasetFolder", split: str, hop: float) -> "dict[str, Compared]":
    """The stand-ins, and YAMNet if it is installed."""
    from evaluation import yamnet
    from evaluation.baselines import stand_ins
    from training.text_encoder import frozen_vectors

    found = stand_ins(folder, split=split, hop=hop)
    if yamnet.is_installed():
        found["YAMNet"] = yamnet.Yamnet(frozen_vectors, hop=hop)
    else:
        talk.print(f"no column for YAMNet, which is not installed: {yamnet.INSTALL} adds it", markup=False)
    return found


@app.command()
def compare(
    runs: Annotated[tuple[Path, Path], typer.Argument(metavar="RUN RUN", help="Evaluated on the same datasets.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What the second run does better or worse than the first, with paired intervals over soundscapes.

    Example: flam-cli compare run other
    """
    from evaluation.kept import compared, differences_table

    found = compared(*runs)
    if as_json:
        print_json(
            {
                name: {metric: difference.to_dict() for metric, difference in metrics.items()}
                for name, metrics in found.items()
            }
        )
    else:
        for name, metrics in found.items():
            Console().print(differences_table(name, str(runs[0]), str(runs[1]), metrics))


@app.command()
def score(
    scores: Annotated[Path, typer.Argument(help="Folder of one tsv per clip: onset, offset, and a column per label.")],
    ground_truth: Annotated[Path, typer.Option(help="tsv: filename, onset, offset, event_label.")],
    durations: Annotated[Path, typer.Option(help="tsv: filename, duration.")],
    threshold: Annotated[float, typer.Option(help="Of the F1s; a score must be above it.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the frame scores of any other model: PSDS, event and segment F1, AUROC.

    Tables are taken as they are: events of one label that overlap or touch are refused.

    Example: flam-cli score scores --ground-truth truth.tsv --durations durations.tsv --json
    """
    from evaluation.score import score_files

    values, refused = score_files(scores, ground_truth, durations, threshold=threshold)
    for name, reason in refused.items():
        talk.print(f"{name} has no value: {reason}", markup=False)
    if as_json:
        typer.echo(json.dumps(values))  # one line: scripts read the last one
    else:
        print_metrics(str(scores), values)


@app.command(name="export-model")
def export_model(
    run: Annotated[Path, typer.Argument(help="Folder by `flam-cli train`.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    to: Annotated[Literal["onnx"], typer.Option(help="The format.")] = "onnx",  # noqa: ARG001 - the one there is
    phrase: Annotated[
        list[str] | None, typer.Option(help="Whose vectors are written, too; may be given several times.")
    ] = None,
) -> None:
    """Write a trained model for programs without torch: audio.onnx, text.onnx, phrases.json.

    Example: flam-cli export-model run --out onnx --phrase "a dog barks"
    """
    from training.export_onnx import export_onnx

    for path in export_onnx(run, out, phrase or []):
        typer.echo(str(path))


@app.command()
def detect(  # noqa: PLR0913 - as above
    run: Annotated[Path, typer.Argument(help="Folder by `flam-cli train`.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings of any length and rate.")],
    phrase: Annotated[list[str], typer.Option(help="What to listen for; may be given several times.")],
    threshold: Annotated[float | None, typer.Option(help="Probability; by default the best on validation.")] = None,
    unbiased: Annotated[
        bool, typer.Option("--unbiased", help="FLAM's scores: above 0.5, more likely than before listening.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    plot: Annotated[Path | None, typer.Option(callback=_png, help="PNG to draw, for one file.")] = None,
    trust_remote_code: TrustRemoteCode = False,
    device: Device = "cpu",
) -> None:
    """Find when a described sound happens in recordings.

    Example: flam-cli detect run recording.wav --phrase "a dog barks" --phrase "rain"
    """
    from training.detect import Detector
    from training.plots import plot_file

    if plot is not None and len(files) > 1:
        raise FlamError(f"--plot {plot} draws one recording, but {len(files)} were given; name one file")
    if as_json and as_csv:
        raise FlamError("--json and --csv are two forms of the same; give one of them")
    _trust(trust_remote_code)
    detector = Detector.load(run, device=device, unbiased=unbiased)
    phrases, called = list(dict.fromkeys(phrase)), "unbiased score" if unbiased else "probability"
    if not detector.card.trained_clusters:
        talk.print("this model was trained on captions alone: when a sound happens in a recording was never taught")
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for file in files:
        try:
            found = detector.detect(file, phrases, threshold=threshold)
        except FlamError as error:
            if len(files) == 1:
                raise
            failed.append(str(error))
            continue
        rows += [detection_row(file, detection, score=called) for detection in found]
    print_found(rows, score=called, as_json=as_json, as_csv=as_csv)
    if plot is not None:
        plot_file(plot, detector, files[0], phrases, threshold=threshold, score=called)
    if failed:
        raise FlamError(f"{len(failed)} of {len(files)} files could not be used: {'; '.join(failed)}")


@app.command()
def stats(
    data: Annotated[Path, typer.Argument(help="Dataset folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(callback=_png, help="Draw it, too: a PNG file.")] = None,
) -> None:
    """Count what a dataset holds: labels, durations, SNR, polyphony, audibility, splits, licences, what was left out.

    Example: flam-cli stats data --plot data.png
    """
    from curation.stats import dataset_stats
    from curation.stats_view import plot_stats, stats_tables

    found = dataset_stats(data)
    if plot is not None:
        plot_stats(plot, found)
    if as_json:
        print_json(found.to_dict())
        return
    for table in stats_tables(found):
        Console().print(table)


@app.command()
def validate(
    data: Annotated[Path, typer.Argument(help="Dataset folder.")],
    read_audio: Annotated[bool, typer.Option(help="Read all audio, too; what is not there is rendered.")] = False,
    bank: BankOf = None,
) -> None:
    """Check every rule that a dataset must meet; names the row and field that breaks one.

    Example: flam-cli validate data --read-audio
    """
    from manifests.validate import validate as check

    render = _render_of(data, bank) if read_audio else None
    problems = check(data, read_audio=read_audio, render=render)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if problems:
        raise FlamError(f"{data} breaks the rules in {problems.num_found} places, listed above")
    talk.print(f"{data} is sound")


def _trust(remote_code: bool) -> None:
    """Say and do what --trust-remote-code asks for."""
    if remote_code:
        from training.pretrained import trust_remote_code

        talk.print("running the code that an encoder's repository brings, as --trust-remote-code says")
        trust_remote_code()


def _render_of(data: Path, bank: Path | None) -> "Render | None":
    """What makes the audio of a dataset that has none; None for one that has."""
    from manifests.store import DatasetFolder

    if not DatasetFolder(data).is_virtual():
        return None
    from curation.render import Renderer

    return Renderer.open(data, bank)


def _fresh_of(data: Path, bank: Path | None, online: bool | None) -> "FreshSoundscapes | None":
    """What makes more soundscapes like those of a dataset by `simulate`, which needs its bank; None for another.

    None, too, if `online` is False, or None and making one takes long.
    """
    from manifests.store import DatasetFolder, read_json

    info = DatasetFolder(data).info_path
    if online is False or not info.exists() or "recipe" not in read_json(info):
        return None
    from curation.fresh import FreshSoundscapes, is_quick

    if online is None and not is_quick(data):
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes
            talk.print(
                f"flam-cli: {data}: its own soundscapes are heard again each epoch: fresh ones take long to make, "
                "for their length, effects or Scaper (--online: all the same)",
                markup=False,
            )
        return None
    try:
        return FreshSoundscapes(data, bank)
    except FlamError as error:
        raise FlamError(f"{error}; or --no-online, to hear its own soundscapes again each epoch") from None


if __name__ == "__main__":
    run()
