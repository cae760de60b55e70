"""Four agents in JAX, each as small as it can be, that prove one kind of experience each, and may be read as examples.

| module | learns | from |
| --- | --- | --- |
| `recurrent` | Q-learning with a recurrent network | `Sequences` that keep the recurrent state |
| `actor_critic` | V-trace with a recurrent network | a `Queue`, with the behaviour's logits |
| `mixed` | Q-learning with a margin for demonstrations | `Mixed`: demonstrations, and what actors add |
| `offline` | Q-learning without acting | `Transitions` of a dataset |

They need `acme-testing[jax]`. Their problems are in `environments`.
"""
