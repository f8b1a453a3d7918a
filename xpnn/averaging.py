"""An exponential moving average of the parameters, which is often better than the parameters of the last step.

    a_t = d a_(t-1) + (1 - d) p_t, divided by 1 - d^t for its start at zero (Polyak and Juditsky, 1992, is the idea;
    the correction is that of Kingma and Ba, Adam, 2015, section 3)

Written for the corrected average: a <- a + mix (p - a), mix = (1 - d) / (1 - d^t).
"""

from __future__ import annotations

from xpnn.backend import Array, xp_of


def mixes(decay: float, steps: Array) -> Array:
    """The factor `mix` of each of `steps`, float64, counted from 0."""
    return (1 - decay) / (1 - decay ** (steps + 1))


class ParameterAverage:
    """The average of `parameters` (P,), and the exchange of the two."""

    def __init__(self, parameters: Array) -> None:
        xp = xp_of(parameters)
        self.parameters = parameters
        self.average, self.scratch = xp.zeros_like(parameters), xp.empty_like(parameters)
        self.is_in_use = False

    def update(self, mix: Array) -> None:
        """Take the parameters of a step into the average; `mix` is 0-d."""
        xp = xp_of(self.average, mix)
        xp.subtract(self.parameters, self.average, out=self.scratch)
        xp.multiply(self.scratch, mix, out=self.scratch)
        xp.add(self.average, self.scratch, out=self.average)

    @property
    def learnt(self) -> Array:
        """Where the parameters are that are being learnt."""
        return self.average if self.is_in_use else self.parameters

    @property
    def averaged(self) -> Array:
        """Where their average is."""
        return self.parameters if self.is_in_use else self.average

    def use(self, yes: bool) -> None:
        """Put the average where the net has its parameters, or the parameters back."""
        if yes != self.is_in_use:
            xp = xp_of(self.average)
            xp.copyto(self.scratch, self.parameters)
            xp.copyto(self.parameters, self.average)
            xp.copyto(self.average, self.scratch)
            self.is_in_use = yes
