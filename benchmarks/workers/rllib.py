"""What the workers of RLlib share. RLlib is not imported here, as its Ray is to begin first."""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import warnings


@contextlib.contextmanager
def on_ray(num_cpus):
  """Ray on this machine, as acme_ray.cluster begins it: no token left behind, and workers of the usual niceness."""
  warnings.filterwarnings("ignore", category=DeprecationWarning)
  logging.disable(logging.WARNING)
  os.environ.update(RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")
  import ray

  folder = tempfile.mkdtemp(prefix="rllib-")
  try:
    ray.init(
      "local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level="error",
      object_store_memory=500_000_000, _temp_dir=folder, _node_ip_address="127.0.0.1",
    )  # fmt: skip
    yield ray
  finally:
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def network():
  """Two layers of 64, of policy and value each."""
  from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

  shape = {"fcnet_hiddens": [64, 64], "fcnet_activation": "relu", "head_fcnet_hiddens": []}
  return DefaultModelConfig(vf_share_layers=False, **shape)
