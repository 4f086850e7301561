"""The demo from end to end, of few soundscapes and steps."""

from pathlib import Path

import pytest

import cli_demo


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_runs_to_its_picture_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_demo, "_NUM_SOUNDSCAPES", 40)
    monkeypatch.setattr(cli_demo, "_STEPS", 2)
    monkeypatch.setattr(cli_demo, "_BATCH_SIZE", 2)
    for _ in range(2):
        cli_demo.run(tmp_path / "demo", seed=0, workers=2)
        told = capsys.readouterr()
        assert "2. Dataset: 40 soundscapes" in told.err
        assert "truth:" in told.out
        assert "bank SOUNDS --out BANK" in told.out
        assert (tmp_path / "demo" / "detections.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "demo" / "run" / "evaluations" / "data-test" / "metrics.json").is_file()
    assert "3. Captions: there before" in told.err
