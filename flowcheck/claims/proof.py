"""A proof: facts in order, checked once, with what they rest on.

What is assumed or cited is listed by `assumptions`, and for which family it is proved by `scope`; neither is ever silent.
"""

from dataclasses import dataclass

from .facts import HYPOTHESIS, Given, ProofError

__all__ = ["Proof"]


@dataclass(frozen=True)
class Proof:
    """A sequence of facts; the last one is what is proved."""

    facts: tuple = ()

    def __init__(self, *facts):
        object.__setattr__(self, "facts", facts)

    def verify(self):
        """Check every fact and all that it uses. Raises ProofError; returns nothing."""
        if not self.facts or isinstance(self.facts[-1], Given):
            raise ProofError("there is no proof")
        for fact in self.facts:
            fact.verify()

    @property
    def everything(self):
        """Every fact and rule of the proof, in the order of use, each once."""
        found = {}

        def visit(fact):
            if id(fact) not in found and fact is not HYPOTHESIS:
                for used in (*getattr(fact, "using", ()), *getattr(fact, "right", ())):
                    visit(used)
                found[id(fact)] = fact
        for fact in self.facts:
            visit(fact)
        return tuple(found.values())

    @property
    def assumptions(self):
        """Words of what the proof rests on: definitions, forward equations, assumptions, and lemmas that it cites."""
        return tuple(dict.fromkeys(f"lemma: {f.words}" if f.lemma else f.words for f in self.everything
                                   if isinstance(f, Given) or f.lemma))

    @property
    def scope(self):
        """For which family it is proved, e.g. "n <= 4"; empty where it holds for all."""
        return ", ".join(dict.fromkeys(f.scope for f in self.everything if getattr(f, "scope", "")))
