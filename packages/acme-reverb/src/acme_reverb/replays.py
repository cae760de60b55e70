"""An agent's experience on a Reverb server."""

import functools
import os

import acme_replay
from acme import experience, replay, types
from acme_reverb.store import ReverbStore


class ReverbReplay(acme_replay.StoreReplay):
  """An experience on a Reverb server, in this process or at an address; datasets lie in embedded stores beside it.

  In this process it behaves as `acme_replay.EmbeddedReplay`: `next` samples at that moment, and raises RuntimeError
  where the ratio forbids it. At an address the server's own rate limiters rule, `next` waits up to `timeout` seconds,
  and batches are fetched ahead by a thread; of a mixture, whose ratio this process keeps, it raises as it does here.
  """

  def __init__(
    self,
    description: experience.Experience,
    step_spec: types.Step,
    seed: int = 0,
    *,
    address: str | None = None,
    port: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    timeout: float = 10.0,
    prefetch: int = 2,
    listen_everywhere: bool = False,
  ) -> None:
    """Starts a server, or connects to one.

    Args:
      description: the experience; that of a server at an address must be the same.
      step_spec: the spec of one step (acme.builders.step_spec).
      seed: of what is drawn here: Reverb seeds its own samplers, and what a table samples differs from run to run.
      address: "host:port" of a server that `serve` started; None for one in this process.
      port: where the server in this process listens; None for any free port.
      checkpoint_dir: where the server in this process has its temporary files, as large as its contents while `save`
        runs; None for the system's place.
      timeout: seconds to wait for an answer, and at an address for items that may be sampled.
      prefetch: batches that each dataset fetches ahead from an address.
      listen_everywhere: whether the server in this process may listen on every network interface, without
        authentication, as every server of Reverb does.

    Raises:
      ConnectionError: no server answers at the address.
      FileNotFoundError: there is no such dataset.
      KeyError: the server lacks a table.
      ValueError: it has other tables or another signature; or it would listen everywhere, and may not; or a mixture has
        its shares by priority.
    """
    if isinstance(description, experience.Mixed) and description.share == "priority":
      raise ValueError(
        'Mixed.share "priority": a Reverb server cannot say the sum of its priorities; give fixed shares.'
      )
    make_store = functools.partial(
      _make_store,
      address=address,
      port=port,
      checkpoint_dir=checkpoint_dir,
      timeout=timeout,
      prefetch=prefetch,
      listen_everywhere=listen_everywhere,
    )
    super().__init__(description, step_spec, seed, make_store, acme_replay.embedded())


def _make_store(
  items: experience.Items,
  table: replay.Table,
  step_spec: types.Step,
  seed: int,
  max_steps: int | None = None,
  **others: object,
) -> ReverbStore:
  del max_steps  # Reverb counts items.
  longest = items.n_step if isinstance(items, experience.Transitions) else getattr(items, "length")  # noqa: B009
  return ReverbStore(
    [table],
    step_spec,
    seed,
    max_item_steps=longest,
    core_spec=getattr(items, "core_spec", ()),
    one_step=getattr(items, "one_step", False),
    **others,  # type: ignore[arg-type]
  )
