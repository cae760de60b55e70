"""rejax's DQN, set as `anakin_by_hand.py` is: steps/s of all seeds together.

It learns once for each step in all of its environments, so "every 4th" is 4 environments; its targets are copied by
environment steps; gymnax's CartPole.
"""

import argparse
import time

import common
import jax
import rejax

parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--steps", type=int, default=20_000)
options = parser.parse_args()

algorithm = rejax.get_algo("dqn").create(
  env="CartPole-v1",
  agent_kwargs={"activation": "relu"},
  num_envs=options.every,
  num_epochs=1,
  batch_size=64,
  fill_buffer=64,
  buffer_size=min(100_000, options.steps + 1000),
  total_timesteps=options.steps,
  eval_freq=options.steps,
  skip_initial_evaluation=True,
  ddqn=False,
  learning_rate=1e-3,
  max_grad_norm=10.0,
  gamma=0.99,
  eps_start=0.05,
  eps_end=0.05,
  target_update_freq=100 * options.every,
)
algorithm = algorithm.replace(eval_callback=lambda *_: ())
states = jax.vmap(algorithm.init_state)(jax.random.split(jax.random.PRNGKey(0), options.seeds))
# Of one seed nothing is mapped, as where it is by hand.
states = states if options.seeds > 1 else jax.tree.map(lambda x: x[0], states)
train = lambda state: algorithm.train(train_state=state)[0]  # noqa: E731
run = jax.jit(jax.vmap(train) if options.seeds > 1 else train).lower(states).compile()
start = time.perf_counter()
jax.block_until_ready(run(states))
common.report(steps_per_second=options.seeds * options.steps / (time.perf_counter() - start))
