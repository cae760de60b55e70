"""Acme's heir: the interfaces of reinforcement-learning agents, and the loop that runs them.

acme.EnvironmentLoop(environment, agent).run(num_episodes=300)
"""

from acme import (
  agents,
  builders,
  checkpointing,
  configs,
  core,
  counting,
  experience,
  loggers,
  plugins,
  replay,
  specs,
  types,
  validation,
  wrappers,
)
from acme.core import Actor, Learner, Saveable, VariableSource
from acme.environment_loop import EnvironmentLoop, evaluate
from acme.episodes import episode_seed
from acme.learning_loop import LearningLoop
from acme.specs import EnvironmentSpec, make_environment_spec
from acme.vector_environment_loop import VectorEnvironmentLoop

__version__ = "0.2.0"

__all__ = [
  "Actor", "EnvironmentLoop", "EnvironmentSpec", "Learner", "LearningLoop", "Saveable", "VariableSource",
  "VectorEnvironmentLoop", "agents", "builders", "checkpointing", "configs", "core", "counting", "episode_seed",
  "evaluate", "experience", "loggers", "make_environment_spec", "plugins", "replay", "specs", "types", "validation",
  "wrappers",
]  # fmt: skip
