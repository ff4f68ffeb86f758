"""Whether the settings can be used: every error with its name, its place and a remedy, where others stop at the first."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from trueup.model.faults import Fault
from trueup.model.toml_lines import NoToml, lines_of, parse_toml
from trueup.settings import Settings, secret_files

_FILE: Final = "trueup.toml"
_PREFIX: Final = "TRUEUP_"
_REMEDY: Final = "docs/operations.md lists the settings, their defaults and what they mean"

Loc = tuple[str | int, ...]


class SettingsRead(NamedTuple):
    """Settings as far as they can be used.

    A section with a fault stands at its defaults, which nobody meant: `unusable` names it.
    """

    settings: Settings
    faults: list[Fault]
    unusable: frozenset[str]


class _ReadEnvironment(EnvSettingsSource):
    """The environment, without the variables that are no JSON where they must be."""

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:
            return None


class _WholeSettings(Settings):
    """The same settings, of which one bad variable does not hide the other errors."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        secrets = secret_files(settings_cls)
        return init_settings, _ReadEnvironment(settings_cls), *secrets, TomlConfigSettingsSource(settings_cls)


class _UsableSettings(_WholeSettings):
    """What is left of them: names that nobody knows are passed over."""

    model_config = SettingsConfigDict(extra="ignore")


class _GivenSettings(Settings):
    """Settings that are given whole."""

    model_config = SettingsConfigDict(toml_file=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def given_settings(document: Mapping[str, Any]) -> Settings:
    """Exactly these settings and defaults, whatever environment and file say."""
    return _GivenSettings(**document)


def read_settings() -> SettingsRead:
    """The settings of the working directory and the environment, with all that is wrong in them."""
    text, faults = _read_file()
    if faults:
        return SettingsRead(_GivenSettings(), faults, frozenset(Settings.model_fields))
    lines = lines_of(text)
    unusable: set[str] = set()
    for name in _bad_variables():
        unusable.add(_section_of(name))
        what = f"setting {_section_of(name)}: the value is no JSON"
        faults.append(Fault(what, f"variable {name}", "give a JSON value, or each setting by its own variable"))
    faults += _unknown_variables()
    try:
        settings: Settings = _WholeSettings()
    except ValidationError as error:
        for fault in error.errors():
            faults.append(setting_fault(fault, os.environ, lines))
            unusable.add(str(fault["loc"][0]))
        known = unusable & Settings.model_fields.keys()
        settings = _UsableSettings(**_defaults(known))
    return SettingsRead(settings, faults, frozenset(unusable))


def setting_fault(fault: Mapping[str, Any], variables: Iterable[str], lines: Mapping[Loc, int]) -> Fault:
    """One of pydantic's errors in words. Its `input` is left out: it may be a password. Pure.

    `variables` are the names of the environment, `lines` the places of the file.
    """
    loc: Loc = tuple(fault["loc"])
    name = ".".join(str(part) for part in loc)
    where = _place_of(loc, variables, lines)
    if fault["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(loc[-1]), _known_names(loc[:-1]), n=1)
        return Fault(f"there is no setting {name}", where, f"did you mean {close[0]}?" if close else _REMEDY)
    return Fault(f"setting {name}: {fault['msg'].removeprefix('Value error, ')}", where, _REMEDY)


def _read_file() -> tuple[str, list[Fault]]:
    path = Path(_FILE)
    if not path.exists():
        return "", []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return "", [Fault(f"the file cannot be read: {error}", _FILE, "make it a readable file of UTF-8 text")]
    try:
        parse_toml(text)
    except NoToml as error:
        return "", [Fault(error.what, f"{_FILE}, line {error.line}", error.remedy)]
    return text, []


def _defaults(names: Iterable[str]) -> dict[str, Any]:
    """Whole defaults in place of what was given: an instance is not merged with anything."""
    return {name: Settings.model_fields[name].get_default(call_default_factory=True) for name in names}


def _bad_variables() -> list[str]:
    """Variables of a section or list that must be JSON and are not."""
    source = EnvSettingsSource(_UsableSettings)
    bad = []
    for name, field in Settings.model_fields.items():
        try:
            value, key, is_complex = source.get_field_value(field, name)
            source.prepare_field_value(name, field, value, is_complex)
        except ValueError:
            whole = [variable for variable in os.environ if variable.upper() == f"{_PREFIX}{key}".upper()]
            prefix = f"{_PREFIX}{name}__".upper()
            bad += whole or [variable for variable in os.environ if variable.upper().startswith(prefix)][:1]
    return bad


def _unknown_variables() -> list[Fault]:
    """Variables that look like a setting of a section that there is none of; pydantic passes them over."""
    faults = []
    sections = list(Settings.model_fields)
    for variable in sorted(os.environ):
        if variable.startswith(_PREFIX) and "__" in variable and _section_of(variable) not in sections:
            close = difflib.get_close_matches(_section_of(variable), sections, n=1)
            remedy = f"did you mean the section {close[0]}?" if close else _REMEDY
            faults.append(Fault(f"there is no section {_section_of(variable)}", f"variable {variable}", remedy))
    return faults


def _section_of(variable: str) -> str:
    """The section that a variable sets."""
    return variable.upper().removeprefix(_PREFIX).partition("__")[0].lower()


def _place_of(loc: Loc, variables: Iterable[str], lines: Mapping[Loc, int]) -> str:
    """The variable that gives the value, or the line of the file; the environment goes before the file."""
    by_upper = {variable.upper(): variable for variable in variables}
    for depth in range(len(loc), 0, -1):
        variable = by_upper.get(_PREFIX + "__".join(str(part) for part in loc[:depth]).upper())
        if variable is not None:
            return f"variable {variable}"
    for depth in range(len(loc), 0, -1):
        if loc[:depth] in lines:
            return f"{_FILE}, line {lines[loc[:depth]]}"
    return _FILE


def _known_names(section: Loc) -> list[str]:
    """The settings of a section, or the sections."""
    model: Any = Settings
    for part in section:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else None
    return list(getattr(model, "model_fields", {}))
