"""What one optimizer step does, and all that the next one depends on."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manifests.errors import FlamError
from training import parallel
from training.checkpoint import device_of, load_tensors, load_weights, save_tensors
from training.config import TrainConfig
from training.data import Batch
from training.memory import keep_freed_memory
from training.model import FlamModel, TextHead
from training.objective import step_losses

Losses = dict[str, float]
_SPIKE, _SPIKE_FROM = 5.0, 100  # times what a loss was at most lately is a spike, once there were so many of it
_LATELY = 10  # of a loss so many values at a time are added to that most: one that grows within them is a spike, too
_KEPT = 0.8  # of the most, each time


class Trainer:
    """Model, averaged model and optimizer at one step."""

    def __init__(
        self,
        config: TrainConfig,
        *,
        device: str,
        coverage: float = 0.1,
        start: FlamModel | None = None,
        folder: Path | None = None,
    ) -> None:
        """At step 0.

        Args:
            config: all settings.
            device: as torch names it.
            coverage: mean share of a clip in which a sound of it is active; where biases of texts start (FLAM).
            start: whose weights it begins with, instead of random ones.
            folder: where settings of pretrained encoders are, for a run whose weights a checkpoint has.
        """
        keep_freed_memory()
        torch.manual_seed(config.seed)
        self.config, self.device, self.step = config, device_of(device), 0
        self.model = FlamModel(config.model, folder)
        if isinstance(self.model.frame_logit, TextHead):
            self.model.frame_logit.start_at(math.log(coverage / config.batch_size))
        if config.clip_loss == "infonce":
            torch.nn.init.constant_(self.model.clip_logit.log_tau, math.log(0.07))
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        self.model.to(self.device)
        # Of each loss what it was at most lately, and since then, and how many there were
        self.levels: dict[str, tuple[float, float, int]] = {}
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.frozen = {name for name, one in self.model.named_parameters() if not one.requires_grad}
        for name in self.frozen:  # held, written and read once
            self.average.get_parameter(name).data = self.model.get_parameter(name).data
        if config.compile:
            self.model.audio.compile()
        self.rates, groups = [], []
        for rate, parameters in self._by_rate():
            for decay, chosen in (
                (config.weight_decay, [one for one in parameters if one.ndim > 1]),
                (0.0, [one for one in parameters if one.ndim <= 1]),
            ):
                self.rates.append(rate)
                groups.append({"params": chosen, "weight_decay": decay})
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))

    def _by_rate(self) -> list[tuple[float, list[nn.Parameter]]]:
        """The parameters that learn, by how fast."""
        rates = {
            "audio.encoder.": self.config.audio_learning_rate,
            "text.words.encoder.": self.config.text_learning_rate,
        }
        found: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                of = next((start for start in rates if name.startswith(start)), "")
                found.setdefault(of, []).append(parameter)
        return [(rates.get(of, self.config.learning_rate), parameters) for of, parameters in found.items()]

    def learn(self, batch: Batch) -> Losses:
        """One optimizer step; raises FlamError that names the soundscapes if loss or gradient is not finite."""
        torch.manual_seed(_seed_of(self.config.seed, self.step, parallel.rank()))
        self._set_learning_rate()
        self.model.train()
        parts = step_losses(self.model, batch.to(self.device), self.config)
        if not parts:
            raise FlamError(
                f"no loss has anything to learn from at step {self.step}: soundscapes "
                f"{', '.join(batch.soundscape_ids)} have nothing that the recipe's losses with a weight ask for"
            )
        loss = torch.stack([part.weight * part.own for part in parts.values()]).sum()
        values = parallel.total(torch.stack([loss, *(part.own for part in parts.values())])).tolist()
        self._check_losses(dict(zip(parts, values[1:], strict=True)), batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        parallel.add_gradients(list(self.model.parameters()))
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0))
        if not math.isfinite(norm):
            raise self._stopped(f"the gradient's norm is {norm:g}", batch)
        self.optimizer.step()
        self.step += 1
        self._average_weights()
        return dict(zip(["loss", *(f"{name}_loss" for name in parts)], values, strict=True))

    def _check_losses(self, losses: Losses, batch: Batch) -> None:
        """Stop before a step that spoils the weights: the last checkpoint is from before it.

        Each loss by itself: a set with labels that is seldom drawn adds losses that other batches do not have.
        """
        for name, loss in losses.items():
            most, since, times = self.levels.get(name, (loss, 0.0, 0))
            spike = times >= _SPIKE_FROM and loss > _SPIKE * most
            if spike or not math.isfinite(loss):
                raise self._stopped(
                    f"the {name} loss is {loss:g}{f', where it was {most:.3g},' if spike else ''}", batch
                )
            since, times = max(since, loss), times + 1
            self.levels[name] = (most, since, times) if times % _LATELY else (max(since, _KEPT * most), 0.0, times)

    def _stopped(self, what: str, batch: Batch) -> FlamError:
        return FlamError(
            f"{what} at step {self.step}, on soundscapes {', '.join(batch.soundscape_ids)}; listen to them, or begin "
            "again in another --out, with a lower --learning-rate"
        )

    def _set_learning_rate(self) -> None:
        """Linear warm-up, then half a cosine down to nothing at the last step."""
        warmup = min(1.0, (self.step + 1) / self.config.warmup_steps)
        decay = 0.5 + 0.5 * math.cos(math.pi * self.step / self.config.steps)
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            group["lr"] = rate * warmup * decay

    @torch.no_grad()
    def _average_weights(self) -> None:
        decay = min(self.config.ema_decay, self.step / (self.step + 10))
        current = self.model.state_dict()
        for name, mean in self.average.state_dict().items():
            if name in self.frozen:
                continue
            if mean.is_floating_point():
                mean.lerp_(current[name], 1 - decay)
            else:
                mean.copy_(current[name])

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Everything that the next step depends on."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        averages = self.average.state_dict()
        tensors |= {f"average.{name}": value for name, value in averages.items() if name not in self.frozen}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        save_tensors(path, tensors, {"step": self.step, "levels": self.levels, **note})

    def restore(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint by `save`; returns its note."""
        tensors, note = load_tensors(path)
        weights = _under("model.", tensors)
        load_weights(self.model, weights, path)
        shared = {name: value for name, value in weights.items() if name in self.frozen}
        load_weights(self.average, {**shared, **_under("average.", tensors)}, path)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value.clone()  # or it would stay a part of the file
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step = int(note["step"])
        self.levels = {name: (float(most), float(since), int(n)) for name, (most, since, n) in note["levels"].items()}
        return note


def _seed_of(seed: int, step: int, rank: int) -> int:
    """Dropout of a step is drawn from (seed, step, process) alone, so that a resumed run draws the same."""
    return int(np.random.SeedSequence(seed, spawn_key=(2, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
