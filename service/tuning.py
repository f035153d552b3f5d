"""What hyperparameters there are, told to readers of the API."""

from adapters import METHODS
from tsugiki.training.hyperparameters import SEED, offered


def tuning_told() -> str:
    """Markdown: each method's, with meaning, range and default, as the methods themselves declare them."""
    lines = ["Of the method that is asked for; `auto` takes only the seed, as it is not known yet which one will run."]
    lines.append(f"- every method: `seed`, {SEED.meaning} ({SEED.possible}; 0)")
    for method in METHODS:
        for name, one in offered(method).items():
            lines.append(f"- `{method.name}`: `{name}`, {one.meaning} ({one.possible}; {_word(getattr(method, name))})")
    lines.append("Others, and values out of their range, are refused. The graft's details tell what was used.")
    return "\n".join(lines)


def _word(default: object) -> str:
    return "null" if default is None else str(default)
