"""Every number and switch of R2D3, R2D2's among them, and what it learns from."""

import dataclasses
from typing import Self

from acme import experience
from acme.configs import Fraction
from acme_r2d2 import R2D2Config
from acme_r2d2 import config as r2d2

DEMONSTRATIONS = 0
"""The number of the demonstrations among the parts of the experience, as `Sample.table` has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class R2D3Config(R2D2Config):
  """R2D3's hyper-parameters: those of R2D2, and the demonstrations.

  `max_replay_size` is of what the agent does itself; demonstrations are all kept.
  """

  demonstrations: str | None = None
  """The path of recorded episodes (`acme_replay.datasets`); there must be some."""
  demonstration_ratio: Fraction = 0.25
  """ρ, the demonstrations' share of all that is sampled, exact over time; above 0, below 1. 1909.01387: 1/256 to .5."""

  def __post_init__(self) -> None:
    super().__post_init__()
    if not 0 < self.demonstration_ratio < 1:
      raise ValueError(
        f"R2D3Config.demonstration_ratio: expected a number above 0 and below 1, got {self.demonstration_ratio!r}."
      )

  @classmethod
  def published(cls) -> Self:
    """Paine et al. 2019 (1909.01387): its sequences, and the ratio that did best on four tasks; the rest is R2D2's.

    Learning rate, batch and target period, too, which have not been held against the paper's own table. Each step is
    replayed 0.8 times, as in R2D2: it lies in one trace.
    """
    return dataclasses.replace(
      super().published(), trace_length=40, samples_per_insert=0.8, demonstration_ratio=1 / 256
    )


def make_experience(config: R2D3Config) -> experience.Mixed:
  """What R2D3 learns from: R2D2's sequences, of demonstrations, which stay, and of what it does itself.

  Raises:
    ValueError: there are no demonstrations in the config.
  """
  if config.demonstrations is None:
    raise ValueError(
      "R2D3Config.demonstrations: expected the path of episodes, as `acme record` and acme_replay.datasets write "
      "them, got None: `acme run r2d3 ENV --config.demonstrations PATH`."
    )
  own = r2d2.make_experience(config)
  ratio = config.demonstration_ratio
  return experience.Mixed(
    parts={"demonstrations": own.from_dataset(config.demonstrations), "own": own},
    share={"demonstrations": ratio, "own": float(1 - experience.exact(ratio))},
    batch_size=own.batch_size,
    samples_per_insert=config.samples_per_insert,
  )
