"""Any agent distributed on Ray: many actors, replay in shards, and any process may die.

outcome = acme_ray.run("dqn", "gym:CartPole-v1", steps=60_000, num_actors=2)
"""

from acme_ray.conductor import Stopped
from acme_ray.run import Outcome, cluster, run
from acme_ray.supervision import NodeFailed
from acme_ray.watching import Watcher

__version__ = "0.2.0"

__all__ = ["NodeFailed", "Outcome", "Stopped", "Watcher", "cluster", "run"]
