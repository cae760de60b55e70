"""Descriptions of experience: what tables they ask for, and what makes no sense is refused."""

import dataclasses

import numpy as np
import pytest

from acme import configs, experience, replay, specs

CORE = specs.Array((3,), np.float32)


def test_transitions_of_a_config():
  config = configs.TransitionConfig(
    discount=0.9, n_step=3, batch_size=8, num_sgd_steps_per_step=4, prioritized=True, samples_per_insert=2.5,
    min_replay_size=5, max_replay_size=50, priority_exponent=0.7,
  )  # fmt: skip
  items = experience.Transitions.of(config, max_abs_reward=1.0)
  assert (items.n_step, items.discount, items.batch_size, items.max_abs_reward) == (3, 0.9, 32, 1.0)
  table = items.table("replay")
  assert (table.name, table.max_size, table.sampler) == ("replay", 50, replay.Prioritized(0.7))
  assert table.rate_limiter == replay.RateLimiter(min_size=5, samples_per_insert=2.5)
  uniform = experience.Transitions.of(dataclasses.replace(config, prioritized=False))
  assert uniform.table("replay").sampler == replay.Uniform() and not uniform.prioritized


def test_a_queue_is_of_sequences_that_share_a_step():
  queue = experience.Queue(length=20, batch_size=4, max_size=100, stored_state=True).with_core(CORE)
  sequences = queue.sequences
  assert (sequences.length, sequences.period, sequences.end_of_episode) == (20, 19, "continue")
  assert sequences.core_spec is CORE
  table = queue.table("queue")
  assert (table.sampler, table.max_times_sampled) == (replay.Fifo(), 1)
  assert [table.rate_limiter.allowed(inserts, 0) for inserts in (0, 1)] == [0, float("inf")]


def test_only_what_stores_the_state_has_its_spec():
  assert experience.Transitions().with_core(CORE) == experience.Transitions()
  assert experience.Sequences(length=4, period=2).with_core(CORE).core_spec == ()
  assert experience.Sequences(length=4, period=2, stored_state=True).with_core(CORE).core_spec is CORE


def test_a_dataset_takes_the_place_of_acting():
  items = experience.Transitions(samples_per_insert=8.0, min_size=100).from_dataset("demos")
  assert (items.dataset, items.samples_per_insert, items.min_size) == ("demos", None, 1)
  parts = {"demos": experience.Transitions(dataset="demos"), "replay": experience.Transitions()}
  mixed = experience.Mixed(parts=parts, share="priority", samples_per_insert=1.0)
  assert mixed.online == "replay"
  offline = mixed.from_dataset("others")
  assert offline.online is None and offline.parts["replay"].dataset == "others"


PARTS = {"demos": experience.Transitions(dataset="demos"), "replay": experience.Transitions()}
ONE_STEP = experience.Transitions(one_step=True)
SEQUENCES = experience.Sequences(length=2, period=1)


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: experience.Transitions(n_step=0), "Transitions.n_step: expected a number of 1 or more, got 0"),
    (lambda: experience.Transitions(discount=1.5), "Transitions.discount"),
    (lambda: experience.Sequences(length=0, period=1), "Sequences.length"),
    (lambda: experience.Sequences(length=2, period=1, end_of_episode="stop"), "end_of_episode: expected one of"),
    (lambda: experience.Queue(length=1), "Queue.length: expected 2 or more"),
    (
      lambda: experience.Queue(length=2, batch_size=8, max_size=4),
      "Queue.max_size: expected room for a batch of 8, got 4",
    ),
    (lambda: experience.Queue(length=2, priority_exponent=0.5), "Queue.priority_exponent: expected None"),
    (lambda: experience.Queue(length=2, samples_per_insert=0.5), "Queue.samples_per_insert: expected None"),
    (lambda: experience.Queue(length=2).from_dataset("x"), "no use for a dataset"),
    (lambda: experience.Mixed(parts={}, share="priority"), "Mixed.parts: expected one or more"),
    (lambda: experience.Mixed(parts={"a": PARTS["replay"], "b": SEQUENCES}, share="priority"), "the same samples"),
    (
      lambda: experience.Mixed(parts={**PARTS, "replay": experience.Transitions(one_step=True)}, share="priority"),
      "same",
    ),
    (lambda: experience.Mixed(parts={**PARTS, "more": PARTS["replay"]}, share="priority"), "at most one part without"),
    (lambda: experience.Mixed(parts={"q": experience.Queue(length=2)}, share="priority"), "no queue"),
    (lambda: experience.Mixed(parts=PARTS, share="size"), 'Mixed.share: expected shares by name or "priority"'),
    (lambda: experience.Mixed(parts=PARTS, share={"demos": 0.5, "replay": 0.6}), "add up to 1"),
    (lambda: experience.Mixed(parts=PARTS, share={"demos": 1.0}), "of demos, replay"),
    (lambda: experience.Mixed(parts=PARTS, share={"demos": float("inf"), "replay": 1.0}), "add up to 1"),
    (lambda: experience.Mixed(parts=PARTS, share={"demos": float("nan"), "replay": 1.0}), "add up to 1"),
    (lambda: experience.Mixed(parts=PARTS, share=0.25), 'Mixed.share: expected shares by name or "priority", got 0.25'),
    (lambda: experience.Mixed(parts=PARTS, share=[0.5, 0.5]), "Mixed.share: expected shares by name"),
  ],
)
def test_what_makes_no_sense(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_shares_are_exact_as_they_are_written():
  experience.Mixed(parts=PARTS, share={"demos": 0.1, "replay": 0.9})
  three = {name: PARTS["demos"] for name in ("a", "b", "c")}
  experience.Mixed(parts=three, share={"a": 0.1, "b": 0.2, "c": 0.7})


@pytest.mark.parametrize("share", [1 / 3, 1 / 6, 1 / 48, 0.7, 0.1 + 0.2, 1e-17, 0.12345678901234568])
def test_any_share_and_the_rest_are_one(share):
  rest = (1 - share, float(1 - experience.exact(share)))
  for other in rest:
    experience.Mixed(parts=PARTS, share={"demos": share, "replay": other})
