"""DQfD's TensorFlow half: golden numbers, a whole agent, and what it refuses."""

import pathlib

import numpy as np
import pytest

import acme
from acme import loggers
from acme_dqfd import DQfD, DQfDConfig
from acme_testing import fakes, runs

SMALL = {"hidden_sizes": (16,), "batch_size": 8, "min_replay_size": 16, "samples_per_insert": 4.0,
         "pretraining_steps": 3, "n_step": 3}  # fmt: skip
SPEC = fakes.make_spec("vector", "discrete")

with np.load(pathlib.Path(__file__).parent / "golden" / "dqfd.npz", allow_pickle=False) as _file:
  GOLDEN = {name: _file[name] for name in _file.files}


@pytest.fixture
def tf():
  return pytest.importorskip("tensorflow", reason='needs pip install "acme-dqfd[tf]"')


def test_golden_margin_and_l2(tf):
  from acme_dqfd.tf import losses

  action = tf.constant(GOLDEN["action"], tf.int32)
  margin = losses.large_margin(tf.constant(GOLDEN["online_q"], tf.float32), action, float(GOLDEN["margin"]))
  np.testing.assert_allclose(margin * GOLDEN["is_demonstration"], GOLDEN["large_margin_loss"], rtol=1e-5, atol=1e-6)
  weights = [tf.Variable(tf.constant(GOLDEN["weights"], tf.float32)), tf.Variable(tf.ones(7))]
  np.testing.assert_allclose(losses.l2(weights), GOLDEN["l2_regularization"], rtol=1e-5)


@pytest.mark.parametrize("stop", [0, 25])
@pytest.mark.parametrize("changes", [{}, {"demonstration_share": 0.3, "num_sgd_steps_per_step": 2}])
def test_resume_goes_on_bit_for_bit(tf, changes, stop):
  config = DQfDConfig(**SMALL, **changes, demonstrations=runs.dataset(SPEC))

  def make():
    agent = DQfD(SPEC, config=config, backend="tf", seed=0)
    return agent, acme.EnvironmentLoop(fakes.FakeEnvironment(SPEC), agent, logger=loggers.NullLogger(), seed=0)

  (agent, loop), (other, other_loop) = make(), make()
  if stop:
    loop.run(num_steps=stop)
  else:
    agent.learner.step()  # Of pre-training.
  other.restore(agent.save())
  other_loop.restore(loop.save())
  for each in (loop, other_loop):
    each.run(num_steps=25)
  variables = [each.get_variables(["policy", "target_policy"]) for each in (agent, other)]
  assert runs.digest(variables[0]) == runs.digest(variables[1])
  (first,) = make()[0].get_variables(["policy"])
  assert all(not np.array_equal(value, variables[0][0][name]) for name, value in first.items())


@pytest.mark.parametrize("switch", ["noisy", "munchausen"])
def test_refuses_what_it_lacks(tf, switch):
  with pytest.raises(ValueError, match=f'DQfDConfig.{switch}: the TensorFlow backend lacks it.*backend="jax"'):
    DQfD(SPEC, config=DQfDConfig(demonstrations=runs.dataset(SPEC), **{switch: True}), backend="tf")
