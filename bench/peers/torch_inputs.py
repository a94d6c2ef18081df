"""Inputs of the formulations: the same values in several places of memory, taken in turn."""

import torch


def sets_of(request, *shape, grad=False):
    """The same random values in several places of memory."""
    first = torch.randn(*shape)
    return [first.clone().requires_grad_(grad) for _ in range(request["sets"])]


def rotating(sets, call):
    """A function of the number of the call from a function of an input, or of a tuple of them."""
    return lambda i: call(*sets[i % len(sets)])


def lazily(make):
    """Makes the inputs with the first call, so that those of a slower formulation can be freed."""
    made = []

    def call(i):
        if not made:
            made.append(make())
        made[0](i)

    return call
