"""Placements, on two devices of the CPU, the second of which stands for an accelerator."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from acme import experience
from acme_jax import placement
from acme_testing import runs

# In a process of its own: how many devices there are is settled before JAX begins.
SCRIPT = """
import json, sys
import jax, numpy as np
import acme
from acme import agents, loggers
from acme_jax import placement
from acme_testing.tiny import actor_critic, environments, mixed, recurrent

cpu, other = jax.local_devices()
kind, demonstrations = sys.argv[1:]
module = {"recurrent": recurrent, "queue": actor_critic, "mixed": mixed}[kind]
environment = environments.Chain if kind == "mixed" else environments.Cue
config = {"demonstrations": demonstrations} if kind == "mixed" else {}
spec = acme.make_environment_spec(environment())
builder = module.AGENT.builder(module.Config(**config))
found = placement.available([other])

def run(builder, steps, state=None):
  agent = agents.Agent(builder, spec, seed=0)
  loop = acme.EnvironmentLoop(environment(), agent, seed=0, logger=loggers.NullLogger())
  if state is not None:
    agent.restore(state[0]), loop.restore(state[1])
  loop.run(num_steps=steps)
  return agent, [agent.save(), loop.save()]

def leaves(state):
  return [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(state[0]["learner"]["state"])]

plain = leaves(run(builder, 200)[1])
result = {"names": list(found), "same": {}, "learner": {}, "actor": {}}
for name, devices in found.items():
  placed = placement.PlacedBuilder(builder, devices)
  agent, state = run(placed, 200)
  result["same"][name] = leaves(state) == plain
  (params,) = agent.learner.get_variables(["params"])
  on = lambda nest: sorted({str(d) for leaf in jax.tree.leaves(nest) for d in leaf.devices()})
  result["learner"][name] = on(params) == [str(devices.learner)]
  result["actor"][name] = on(agent.actor._placed._variables.params) == [str(devices.actor)]
_, half = run(placement.PlacedBuilder(builder, found["split"]), 100)
result["resumed"] = leaves(run(placement.PlacedBuilder(builder, found["split"]), 100, half)[1]) == plain
chosen, seconds = placement.choose(builder, spec, 1, found)
result["chosen"], result["seconds"] = chosen, seconds
print(json.dumps(result))
"""


@pytest.mark.parametrize("kind", ["recurrent", "queue", "mixed"])
def test_an_agent_is_the_same_wherever_its_parts_compute(kind, tmp_path):
  environments = pytest.importorskip("acme_testing.tiny.environments")
  demonstrations, chain = tmp_path / "demonstrations", environments.Chain()
  runs.record(demonstrations, chain, lambda o: np.int32(chain.right(int(o.argmax()))), num_episodes=2)
  flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
  command = [sys.executable, "-c", SCRIPT, kind, str(demonstrations)]
  done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout.splitlines()[-1])
  names = ["cpu", "gpu", "split"]
  assert found["names"] == names
  for what in ("same", "learner", "actor"):
    assert found[what] == dict.fromkeys(names, True), what
  assert found["resumed"]
  assert found["seconds"].keys() == set(names) and min(found["seconds"].values()) > 0
  assert found["chosen"] == min(names, key=found["seconds"].get)


def test_where_there_is_one_device_nothing_is_to_be_chosen(monkeypatch):
  assert list(placement.available()) == ["cpu"]

  def without_cpu(backend=None):
    if backend == "cpu":  # As JAX does where JAX_PLATFORMS names another alone.
      raise RuntimeError("Unknown backend cpu")
    return ["gpu:0"]

  monkeypatch.setattr(placement.jax, "local_devices", without_cpu)
  assert placement.available() == {"gpu": ("gpu:0", "gpu:0")}


COSTS = {  # By the network's size: (act, learn) on the CPU, on the accelerator, publishing, and what is cheapest.
  "small": ((40e-6, 200e-6), (300e-6, 600e-6), 100e-6, "cpu"),
  "middling": ((60e-6, 9e-3), (300e-6, 600e-6), 100e-6, "split"),
  "large": ((5e-3, 500e-3), (400e-6, 2e-3), 800e-6, "gpu"),
}


@pytest.mark.parametrize("case", COSTS)
def test_the_cheapest_is_chosen(case, monkeypatch):
  on_cpu, on_accelerator, publish, expected = COSTS[case]
  costs = {"cpu:0": placement.Costs(*on_cpu), "gpu:0": placement.Costs(*on_accelerator)}
  monkeypatch.setattr(placement, "_measure", lambda builder, *_: costs[builder._placement.actor])
  monkeypatch.setattr(placement, "_publish", lambda *_: publish)
  monkeypatch.setattr(placement, "example", lambda *_: None)
  placements = {
    "cpu": placement.Placement("cpu:0", "cpu:0"),
    "gpu": placement.Placement("gpu:0", "gpu:0"),
    "split": placement.Placement("cpu:0", "gpu:0"),
  }
  chosen, seconds = placement.choose(Describing(experience.Transitions(batch_size=32)), None, 1, placements)
  assert chosen == expected, seconds


class Describing:
  """A builder of nothing but an experience."""

  config, backend = None, "jax"

  def __init__(self, described):
    self.described = described

  def make_program(self, spec):
    return None

  def make_experience(self, spec, program):
    return self.described

  def step_spec(self, spec, program):
    return None


@pytest.mark.parametrize(
  ("described", "expected"),
  [
    (experience.Transitions(batch_size=32), 1.0),
    (experience.Transitions(batch_size=32, samples_per_insert=8.0), 0.25),
    (experience.Sequences(length=80, period=40, batch_size=32, samples_per_insert=32.0), 1 / 40),
    (experience.Queue(length=21, batch_size=4), 1 / 80),
    (
      experience.Mixed(
        parts={"ours": experience.Transitions(), "theirs": experience.Transitions(dataset="x")},
        share="priority",
        batch_size=64,
        samples_per_insert=8.0,
      ),
      0.125,
    ),
  ],
)
def test_learner_steps_for_an_environment_step(described, expected):
  assert placement.learner_steps(described) == pytest.approx(expected)
