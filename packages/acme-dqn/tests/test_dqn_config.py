"""The config: what it refuses, and that nothing needs JAX before it is used."""

import ast
import dataclasses
import inspect
import subprocess
import sys

import pytest

import acme_dqn
from acme_dqn import DQNConfig


@pytest.mark.parametrize(
  ("values", "error", "message"),
  [
    ({"discount": 1.5}, ValueError, r"DQNConfig.discount: expected a number in \[0, 1\], got 1.5"),
    ({"learning_rate": "0.1"}, TypeError, "DQNConfig.learning_rate: expected a number, got '0.1'"),
    ({"learning_rate": -1.0}, ValueError, "learning_rate: expected a number above 0"),
    ({"learning_rate": float("nan")}, ValueError, "learning_rate: expected a finite number"),
    ({"n_step": 0}, ValueError, "n_step"),
    ({"n_step": 1.5}, TypeError, "n_step: expected an integer"),
    ({"batch_size": True}, TypeError, "batch_size: expected an integer"),
    ({"dueling": 1}, TypeError, "dueling: expected True or False"),
    ({"hidden_sizes": 64}, TypeError, "hidden_sizes: expected a tuple"),
    ({"hidden_sizes": (64, 0)}, ValueError, r"hidden_sizes\[1\]"),
    ({"categorical": True, "quantile": True}, ValueError, "exclude each other"),
    ({"vmin": 1.0, "vmax": 1.0}, ValueError, "vmin below vmax"),
    ({"num_atoms": 1}, ValueError, "num_atoms: expected 2 or more"),
    ({"munchausen_clip": 0.5}, ValueError, "munchausen_clip: expected 0 or below"),
    ({"dueling": True, "hidden_sizes": ()}, ValueError, "dueling needs a layer"),
    ({"min_replay_size": 10, "max_replay_size": 5}, ValueError, "min_replay_size of at most"),
  ],
)
def test_refuses(values, error, message):
  with pytest.raises(error, match=message):
    DQNConfig(**values)


def test_is_frozen_and_keyword_only():
  with pytest.raises(dataclasses.FrozenInstanceError):
    DQNConfig().discount = 0.5  # type: ignore[misc]
  with pytest.raises(TypeError):
    DQNConfig(0.5)  # type: ignore[misc]


def test_presets():
  rainbow = DQNConfig.rainbow()
  assert rainbow.double_q and rainbow.dueling and rainbow.categorical and rainbow.noisy and rainbow.prioritized
  assert rainbow.n_step > 1
  assert rainbow.epsilon == rainbow.epsilon_initial == 0
  assert DQNConfig.atari().max_abs_reward == 1
  found = {"default", "acrobot", "mountain_car", "lunar_lander"}
  assert set(acme_dqn.AGENT.presets) == {"rainbow", "atari", *found}
  assert set(acme_dqn.AGENT.tuned.values()) == found
  assert DQNConfig.default() == DQNConfig()


def test_every_field_is_documented():
  (cls,) = ast.parse(inspect.cleandoc(inspect.getsource(DQNConfig))).body
  undocumented = [
    node.target.id
    for node, after in zip(cls.body, cls.body[1:], strict=False)
    if isinstance(node, ast.AnnAssign)
    and not (
      isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
    )
  ]
  assert undocumented == []


def test_importing_needs_no_jax_and_no_tensorflow():
  code = "import sys, acme_dqn; acme_dqn.DQNConfig(); print({'jax', 'haiku', 'tensorflow'} & set(sys.modules))"
  out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  assert out.stdout.strip() == "set()"
