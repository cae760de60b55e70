"""Config fields hold what their types say, and errors name field, expectation and value."""

import dataclasses
import json
import math
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from acme import configs, specs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(configs.Config):
  rate: configs.Positive = 0.1
  weight: configs.NonNegative = 0.0
  share: configs.Fraction = 0.5
  size: configs.PositiveInt = 3
  count: configs.NonNegativeInt = 0
  low: float = -1.0
  steps: int = 0
  flag: bool = False
  clip: configs.Positive | None = None
  sizes: tuple[configs.PositiveInt, ...] = (1,)
  pair: tuple[float, float] = (0.0, 1.0)
  kind: Literal["a", "b"] = "a"
  name: str = "x"
  either: int | str = 1
  scaled: Annotated[float, configs.Range(-1, 1)] = 0.0
  anything: Any = None


GOOD = [
  ("rate", 1), ("rate", 1e-9), ("rate", np.float32(0.5)), ("weight", 0), ("share", 0), ("share", 1.0),
  ("size", 1), ("size", np.int64(5)), ("count", 0), ("low", -5), ("flag", True), ("clip", None), ("clip", 2.0),
  ("sizes", ()), ("sizes", (3, 4)), ("pair", (1, 2)), ("kind", "b"), ("name", ""), ("either", "s"), ("either", 2),
  ("scaled", -1), ("anything", object()),
]  # fmt: skip


@pytest.mark.parametrize("field, value", GOOD)
def test_good_values(field, value):
  assert getattr(Config(**{field: value}), field) is value


BAD = [
  ("rate", 0, ValueError, "Config.rate: expected a number above 0, got 0"),
  ("rate", -1.0, ValueError, "above 0, got -1.0"),
  ("rate", "0.1", TypeError, "Config.rate: expected a number, got '0.1'"),
  ("rate", None, TypeError, "expected a number, got None"),
  ("rate", True, TypeError, "expected a number, got True"),
  ("rate", math.nan, ValueError, "finite number, got nan"),
  ("rate", math.inf, ValueError, "finite number, got inf"),
  ("rate", 10**400, ValueError, "finite number, got 10"),
  ("rate", 1j, TypeError, "expected a number"),
  ("rate", [0.1], TypeError, "expected a number"),
  ("rate", np.ones(1), TypeError, "expected a number"),
  ("weight", -1e-9, ValueError, "Config.weight: expected a number of 0 or more"),
  ("share", 1.1, ValueError, r"in \[0, 1\], got 1.1"),
  ("size", 0, ValueError, "Config.size: expected a number of 1 or more, got 0"),
  ("size", 2.0, TypeError, "expected an integer, got 2.0"),
  ("size", "2", TypeError, "expected an integer, got '2'"),
  ("size", False, TypeError, "expected an integer, got False"),
  ("count", -1, ValueError, "0 or more, got -1"),
  ("low", math.inf, ValueError, "finite"),
  ("steps", 1.5, TypeError, "integer"),
  ("flag", 1, TypeError, "Config.flag: expected True or False, got 1"),
  ("flag", "no", TypeError, "True or False"),
  ("clip", 0, ValueError, "Config.clip: expected a number above 0"),
  ("clip", "no", TypeError, "Config.clip: expected a number"),
  ("sizes", 1, TypeError, "Config.sizes: expected a tuple, got 1"),
  ("sizes", 1, TypeError, "expected a tuple"),
  ("sizes", (1, 0), ValueError, r"Config.sizes\[1\]: expected a number of 1 or more, got 0"),
  ("pair", (1.0,), ValueError, "Config.pair: expected 2 values"),
  ("kind", "c", ValueError, "Config.kind: expected one of 'a', 'b', got 'c'"),
  ("kind", None, ValueError, "expected one of"),
  ("name", 3, TypeError, "Config.name: expected str, got 3"),
  ("either", 1.5, TypeError, "Config.either: got 1.5, which is none of"),
  ("scaled", -1.5, ValueError, r"in \[-1, 1\]"),
]


@pytest.mark.parametrize("field, value, kind, message", BAD, ids=lambda x: str(x)[:20])
def test_bad_values(field, value, kind, message):
  with pytest.raises(kind, match=message):
    Config(**{field: value})


@pytest.mark.parametrize(
  "limits, inside, outside",
  [
    (configs.Range(), [-1e300, 0, 1e300], []),
    (configs.Range(0), [0, 1], [-1]),
    (configs.Range(0, open_low=True), [1e-9], [0]),
    (configs.Range(0, 1, open_low=True), [1], [0, 2]),
  ],
  ids=str,
)
def test_ranges(limits, inside, outside):
  assert all(x in limits for x in inside) and not any(x in limits for x in outside)


def test_from_dict_makes_tuples_of_lists():
  assert configs.from_dict(Config, {"sizes": [1, 2], "pair": [0, 1], "rate": 1}) == Config(
    sizes=(1, 2), pair=(0, 1), rate=1
  )
  assert configs.from_dict(Config, {}) == Config()


@pytest.mark.parametrize(
  "values, message",
  [
    ({"rat": 1}, "Config has no field 'rat'. Did you mean rate"),
    ({"zzz": 1}, "Config has no field 'zzz'. Known: rate, weight, share"),
  ],
)
def test_from_dict_names_near_matches(values, message):
  with pytest.raises(ValueError, match=message):
    configs.from_dict(Config, values)


def test_from_dict_validates():
  with pytest.raises(TypeError, match="Config.rate"):
    configs.from_dict(Config, {"rate": "fast"})


def test_from_dict_gives_back_what_asdict_took():
  config = Config(sizes=(4, 5), clip=1.0, kind="b")
  assert configs.from_dict(Config, dataclasses.asdict(config)) == config


def test_what_was_saved_as_json_reads_back():
  config = Config(sizes=(3, 4), pair=(1.0, 2.0), clip=0.5)
  saved = json.loads(json.dumps(dataclasses.asdict(config)))
  assert Config(**saved) == config == configs.from_dict(Config, saved)
  assert Config(anything=[1]).anything == [1]  # A list stays one where a tuple is not what is asked for.


def test_shared_fields_are_held_to_each_other():
  with pytest.raises(
    ValueError, match="ReplayConfig: expected min_replay_size of at most max_replay_size, got 3 and 2"
  ):
    configs.ReplayConfig(min_replay_size=3, max_replay_size=2)


def _spec(low=None, high=None):
  rewards = specs.Array((), np.float32) if low is None else specs.BoundedArray((), np.float32, low, high)
  return specs.EnvironmentSpec(specs.Array((2,), np.float32), specs.DiscreteArray(2), rewards, specs.Array((), float))


@pytest.mark.parametrize(
  ("fields", "spec", "expected"),
  [
    ({}, _spec(), (-150, 150)),
    ({"vmin": -1.0}, _spec(), (-1, 150)),
    ({"vmin": -1.0, "vmax": 2.0}, _spec(0, 1), (-1, 2)),
    ({}, _spec(0, 1), (0, 100)),
    ({"discount": 0.5}, _spec(-3, -1), (-6, 0)),  # An episode that ends at once comes to 0.
    ({"discount": 0.5}, _spec(1, 3), (0, 6)),
    ({"discount": 0.5, "vmax": 3.0}, _spec(-1, 1), (-2, 3)),
    ({"discount": 0.5, "reward_range": (-2.0, 1.0)}, _spec(0, 1), (-4, 2)),
    ({"discount": 0.5, "reward_range": [2.0, 2.0]}, _spec(), (0, 4)),
    ({"discount": 1.0}, _spec(0, 1), (-150, 150)),
    ({}, _spec(-np.inf, np.inf), (-150, 150)),
    ({}, _spec(0, 0), (-150, 150)),
  ],
)
def test_the_range_of_returns(fields, spec, expected):
  config = configs.CategoricalConfig(**fields)
  assert config.value_range(spec) == pytest.approx(expected)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"vmin": 1.0, "vmax": 1.0}, "vmin below vmax"),
    ({"num_atoms": 1}, "2 or more"),
    ({"reward_range": (1.0, 0.0)}, "the lowest reward, then the highest"),
    ({"reward_range": (0.0, 0.0)}, "the lowest reward, then the highest"),
    ({"reward_range": (0.0, 1.0), "discount": 1.0}, "give vmin and vmax"),
    ({"reward_range": (0.0, 1.0), "vmin": 0.0, "vmax": 1.0}, "leave out either"),
  ],
)
def test_wrong_ranges_of_returns(fields, message):
  with pytest.raises(ValueError, match=message):
    configs.CategoricalConfig(**fields)


def test_one_end_of_the_range_must_fit_the_other():
  with pytest.raises(ValueError, match="Give both"):
    configs.CategoricalConfig(vmin=100.0).value_range(_spec(0, 1))
