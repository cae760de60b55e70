"""Ray in one process, in an order that a seed decides, with processes that die when they are told to.

What passes is pickled, as it is between processes. A call is done when somebody waits: of those that are next for some
actor, one at random.
"""

import itertools
import random
import types

from ray import cloudpickle as pickle


class RayError(Exception):
  pass


class RayActorError(RayError):
  pass


class RayTaskError(RayError):
  def __init__(self, cause):
    super().__init__(f"Traceback of the node: {cause!r}")
    self.cause = cause


class Ref:
  known: dict = {}
  numbers = itertools.count()

  def __init__(self):
    self.number, self.value, self.error, self.done = next(Ref.numbers), None, None, False
    Ref.known[self.number] = self

  def __reduce__(self):
    return _lookup, (self.number,)

  def finish(self, value=None, error=None):
    self.value, self.error, self.done = value, error, True


def _lookup(number):
  return Ref.known[number]


class Actor:
  def __init__(self, ray, made, arguments):
    self.ray, self.alive, self.queue = ray, True, []
    self.node = made(*passed(arguments))
    self.hangs = False

  def __getattr__(self, method):
    return types.SimpleNamespace(options=lambda num_returns=1: types.SimpleNamespace(
      remote=lambda *arguments: self.call(method, num_returns, arguments)))  # fmt: skip

  def call(self, method, outputs, arguments):
    refs = [Ref() for _ in range(outputs)]
    self.queue.append((method, refs, pickle.dumps(arguments)))
    if not self.alive:
      self.die()
    return refs if outputs > 1 else refs[0]

  def die(self):
    self.alive = False
    for _, refs, _ in self.queue:
      for ref in refs:
        ref.finish(error=RayActorError("The actor is dead."))
    self.queue = []

  def step(self):
    method, refs, arguments = self.queue[0]
    arguments = [get(each) if isinstance(each, Ref) else each for each in pickle.loads(arguments)]
    del self.queue[0]
    try:
      value = getattr(self.node, method)(*passed(arguments))
    except Exception as error:
      for ref in refs:
        ref.finish(error=RayTaskError(error))
      return
    for ref, each in zip(refs, value if len(refs) > 1 else [value], strict=True):
      ref.finish(passed(each))


def passed(value):
  return pickle.loads(pickle.dumps(value))


def get(ref):
  if not ref.done:
    raise AssertionError("Somebody waits for what is not done.")
  if ref.error is not None:
    raise ref.error
  return passed(ref.value)


class FakeRay:
  """What of Ray this package uses."""

  exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

  def __init__(self, seed=0):
    self.actors, self.random, self.steps = [], random.Random(seed), 0
    self.before_step = lambda: None
    self.get = get

  def remote(self, made):
    def make(*arguments):
      self.actors.append(Actor(self, made, arguments))
      return self.actors[-1]

    return types.SimpleNamespace(options=lambda **_: types.SimpleNamespace(remote=make))

  def alive(self, kind=None):
    """The actors that live, of one kind or of all."""
    return [
      actor for actor in self.actors if actor.alive and (kind is None or type(actor.node).__name__.lower() == kind)
    ]

  def kill(self, actor):
    actor.die()

  def wait(self, refs, num_returns=1, timeout=None, fetch_local=True):
    del fetch_local, num_returns
    if timeout:
      self.before_step()
      ready = [actor for actor in self.alive() if actor.queue and not actor.hangs]
      if ready:
        self.steps += 1
        self.random.choice(ready).step()
    return [ref for ref in refs if ref.done], [ref for ref in refs if not ref.done]
