"""The loop without an environment: counts, stops, evaluates, and goes on as if it had not stopped."""

import pytest

import acme
from acme import core, counting, loggers


class Learner(core.Learner):
  def __init__(self, stop_at=None):
    self.steps, self.stop_at, self.loop = 0, stop_at, None

  def step(self):
    self.steps += 1
    if self.steps == self.stop_at:
      self.loop.stop()

  def get_variables(self, names):
    return []

  def save(self):
    return self.steps

  def restore(self, state):
    self.steps = state


def test_counts_and_evaluates():
  counter, rows, learner = counting.Counter(), loggers.InMemoryLogger(), Learner()
  loop = acme.LearningLoop(
    learner, counter=counter, logger=rows, evaluate=lambda: {"held_out": learner.steps}, evaluate_every=4
  )
  assert loop.run(num_steps=6) == 6 and loop.run(num_steps=4) == 4
  assert loop.steps == learner.steps == 10 and counter.get_counts() == {"learning_steps": 10}
  assert rows.rows == [{"held_out": 4, "learning_steps": 4}, {"held_out": 8, "learning_steps": 8}]


def test_stops_between_two_steps_and_goes_on():
  learner = Learner(stop_at=3)
  learner.loop = loop = acme.LearningLoop(learner, logger=loggers.NullLogger())
  assert loop.run() == 3 and loop.run(num_steps=2) == 2
  again = acme.LearningLoop(Learner(), logger=loggers.NullLogger())
  again.restore(loop.save())
  assert again.steps == 5 and again.reproducible


def test_ends_where_the_learner_is_finished():
  learner = Learner()
  loop = acme.LearningLoop(learner, logger=loggers.NullLogger(), evaluate=lambda: finish(learner), evaluate_every=3)
  assert loop.run(num_steps=9) == 3 and loop.run() == 0


def finish(learner):
  learner.finished = True
  return {}


@pytest.mark.parametrize("make", [lambda: acme.LearningLoop(Learner(), evaluate_every=0),
                                  lambda: acme.LearningLoop(Learner()).run(num_steps=-1)])  # fmt: skip
def test_numbers_that_make_no_sense(make):
  with pytest.raises(ValueError, match="expected . or more"):
    make()
