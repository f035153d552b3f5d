"""The README's table of settings, made of what the settings say of themselves: `python -m service.settings_table`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic.fields import FieldInfo

from service.settings import MIB, SHOWN, Settings

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- settings: `make settings` writes what is here -->", "<!-- end of settings -->"


def table() -> str:
    """Markdown: one row a setting, in the order of the class."""
    rows = [
        f"| `TSUGIKI_{name.upper()}` | {_default(name, field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def with_table(page: str) -> str:
    """The page with the table between its two marks. Raises ValueError where a mark is missing."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _default(name: str, field: FieldInfo) -> str:
    extra = cast("dict[str, str]", field.json_schema_extra or {})
    if SHOWN in extra:
        return extra[SHOWN]
    match field.default:
        case None:
            return "none"
        case bool(value):
            return "`on`" if value else "`off`"
        case int(value) if name.endswith("_bytes"):
            return f"{value // MIB} MiB"
        case value:
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main() -> None:
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
