"""`trueup quarantine list`, `show`, `replay`: messages that were refused, and putting them back, corrected or as they are."""

from __future__ import annotations

import getpass
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from uuid import uuid4

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdc.mapping import Drop, Rename, Replace, SetValue, Step, decode_mapping, encode_mapping, scalar_of
from clickhouse.case_reader import CaseReader
from clickhouse.keyset import slice_of
from clickhouse.quarantine_queries import (
    LIST_KEYS,
    QuarantineFilter,
    refusals_by_kind,
    refused_again,
    refused_list,
    refused_message,
    refused_messages,
    replays_of,
)
from trueup.cli.case_desk import DataDir, Json, case_desk, print_json
from trueup.cli.shared_options import shares
from trueup.model.errors import ConfigurationError
from trueup.quarantine_desk import (
    REPLAYS_MAX,
    Answer,
    Asked,
    Preview,
    Refused,
    decoders_by_topic,
    origin_of,
    preview,
    refused_of,
    replay_of,
    send_replays,
    summary,
)

quarantine = typer.Typer(help="Messages that were refused.", no_args_is_help=True)

VALUE_CHARS_SHOWN: Final = 4_000
Topic = Annotated[str, typer.Option("--topic", help="Only messages of this topic.")]
Code = Annotated[str, typer.Option("--code", help="Only messages with this reason, such as missing-field.")]
Place = Annotated[str, typer.Argument(metavar="PLACE", help="topic:partition:offset, as the list shows it.")]


@quarantine.callback()
def options() -> None:
    """Messages that could not be read or applied: what they are, and how to put them back."""


@quarantine.command("list")
def list_command(
    topic: Topic = "",
    code: Code = "",
    only_waiting: Annotated[bool, typer.Option("--waiting", help="Only messages not replayed yet.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Messages of the list.")] = 20,
    after: Annotated[str, typer.Option("--after", help="Go on behind this cursor.")] = "",
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """How many messages were refused, by topic and reason, and the newest of them."""
    chosen = QuarantineFilter(topic, code, only_waiting)
    with case_desk(data_dir) as (settings, _, reader):
        database = settings.clickhouse.database
        kinds = reader.rows(refusals_by_kind(database))
        page = slice_of(reader.rows(refused_list(database, chosen, limit, after)), limit, LIST_KEYS)
    if json:
        return print_json({"kinds": kinds, "messages": page.rows, "next": page.next})
    console = Console(highlight=False)
    console.print(_table(kinds, ("topic", "code", "stage", "messages", "waiting")))
    table = Table()
    for name in ("place", "code", "reason", "bytes"):
        table.add_column(name, overflow="fold")
    for row in page.rows:
        place = f"{row['topic']}:{row['kafka_partition']}:{row['kafka_offset']}"
        table.add_row(place, row["code"], row["reason"], f"{row['bytes']:,}")
    console.print(table)
    if page.next:
        console.print(f"more: --after {page.next}")
    return None


@quarantine.command()
def show(place: Place, data_dir: DataDir = Path(".trueup"), json: Json = False) -> None:
    """One refused message with its bytes, and its replays."""
    with case_desk(data_dir) as (settings, _, reader):
        database = settings.clickhouse.database
        refused = _one(reader, database, place)
        replays = reader.rows(replays_of(database, *refused.origin))
        again = reader.rows(refused_again(database, refused.origin.topic, [row["replay_id"] for row in replays]))
    if json:
        return print_json({**_document(refused), "replays": replays, "refused_again": again})
    console = Console(highlight=False)
    console.print(Text.assemble((str(refused.origin), "bold"), f"  refused by {refused.stage}"))
    console.print(Text.assemble((refused.code, "bold red"), f": {refused.reason}"))
    console.print(Text(f"key {refused.key.decode(errors='backslashreplace')}"))
    console.print(Text(refused.value.decode(errors="backslashreplace")[:VALUE_CHARS_SHOWN]))
    for row in replays:
        console.print(
            f"replayed {row['replayed_at']:%Y-%m-%d %H:%M:%S} UTC by {row['actor']}: {row['outcome']} {row['reason']}"
        )
    for row in again:
        console.print(Text(f"refused again at {row['kafka_partition']}:{row['kafka_offset']}: {row['reason']}", "red"))
    return None


def mapping_options(
    mapping: Annotated[Path | None, typer.Option("--mapping", help="JSON file with a list of steps.")] = None,
    rename: Annotated[list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Rename a field.")] = None,
    set_value: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field; text unless 7, true or null.")
    ] = None,
    replace: Annotated[
        list[str] | None, typer.Option("--replace", metavar="FIELD:OLD=NEW", help="Replace one value of a field.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="FIELD", help="Leave a field out.")] = None,
) -> tuple[Step, ...]:
    """The corrections: those of the file, then renames, values, replacements, and what is dropped."""
    steps: list[Step] = []
    if mapping is not None:
        try:
            steps += decode_mapping(orjson.loads(mapping.read_bytes()))
        except (OSError, orjson.JSONDecodeError) as error:
            raise ConfigurationError(
                f"the mapping cannot be read: {error}",
                where=str(mapping),
                remedy="give a file with a JSON list of steps",
            ) from error
    steps += [Rename(*_pair(text, "--rename")) for text in rename or []]
    steps += [SetValue(field, scalar_of(value)) for field, value in (_pair(text, "--set") for text in set_value or [])]
    for text in replace or []:
        field, _, values = text.partition(":")
        old, new = _pair(values, "--replace")
        steps.append(Replace(field, scalar_of(old), scalar_of(new)))
    steps += [Drop(field) for field in drop or []]
    # What options say has to hold for a file as well.
    return decode_mapping(encode_mapping(steps))


class Which(NamedTuple):
    """One message by its place, or those of a topic with a code."""

    place: str
    chosen: QuarantineFilter


def which_messages(
    place: Annotated[
        str, typer.Argument(metavar="[PLACE]", help="topic:partition:offset; or --topic and --code.")
    ] = "",
    topic: Topic = "",
    code: Code = "",
) -> Which:
    """What is replayed. Errors: ConfigurationError when it is said twice, or not at all."""
    if bool(place) == bool(topic or code) or bool(topic) != bool(code):
        raise ConfigurationError(
            "give either one place, or a topic and a code",
            remedy="`trueup quarantine replay --topic settlement.public.orders --code missing-field --rename old=new`",
        )
    return Which(place, QuarantineFilter(topic, code, only_waiting=True))


@quarantine.command()
@shares(which=which_messages, steps=mapping_options)
def replay(
    which: Which,
    steps: tuple[Step, ...],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what the decoder says.")] = False,
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    actor: Annotated[str, typer.Option("--as", help="Who asks. Default: the user of this computer.")] = "",
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """Put refused messages on their topic again, corrected; those that would be refused again stay. Exit 1 if any does."""
    with case_desk(data_dir) as (settings, client, reader):
        refused = _meant(reader, settings.clickhouse.database, which)
        decoders = decoders_by_topic(settings)
        tried = [(one, preview(decoders, one, steps)) for one in refused]
        asked = Asked(actor or getpass.getuser(), time.time_ns() // 1000, note, str(uuid4()))
        wanted = [] if dry_run else [replay_of(one, seen, steps, asked) for one, seen in tried if seen.accepted]
        answers = send_replays(settings, client, wanted) if wanted else []
    _tell(tried, answers, as_json=json)
    if any(not seen.accepted for _, seen in tried) or any(answer.result != "applied" for answer in answers):
        raise typer.Exit(1)


def _meant(reader: CaseReader, database: str, which: Which) -> list[Refused]:
    if which.place:
        return [_one(reader, database, which.place)]
    return [refused_of(row) for row in reader.rows(refused_messages(database, which.chosen, REPLAYS_MAX))]


def _tell(tried: Sequence[tuple[Refused, Preview]], answers: Sequence[Answer], *, as_json: bool) -> None:
    if as_json:
        said = {answer.origin: answer for answer in answers}
        messages = [
            {
                "place": str(one.origin), "accepted": seen.accepted, "code": seen.code, "reason": seen.reason,
                "row": seen.row, "replay_id": said[one.origin].replay_id if one.origin in said else None,
                "result": said[one.origin].result if one.origin in said else None,
            }
            for one, seen in tried
        ]  # fmt: skip
        return print_json({"messages": messages})
    console = Console(highlight=False)
    for code, count in sorted(summary(seen for _, seen in tried).items()):
        console.print(f"{count:>6,}  {code or 'would be accepted'}")
    for one, seen in tried:
        if not seen.accepted:
            console.print(Text(f"{one.origin}: {seen.code}: {seen.reason}", "red"))
    for answer in answers:
        console.print(f"{answer.origin}: {answer.result} {answer.reason}")
    if not tried:
        console.print("no such message waits")
    return None


def _one(reader: CaseReader, database: str, place: str) -> Refused:
    rows = reader.rows(refused_message(database, *origin_of(place)))
    if not rows:
        raise ConfigurationError(
            f"no message was refused at {place}", remedy="`trueup quarantine list` shows the places of all"
        )
    return refused_of(rows[0])


def _document(refused: Refused) -> dict[str, Any]:
    return {
        **refused._asdict(),
        "origin": str(refused.origin),
        "key": refused.key.decode(errors="backslashreplace"),
        "value": refused.value.decode(errors="backslashreplace"),
        "value_hex": refused.value.hex(),
    }


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigurationError(
            f"{text[:60]!r} is no NAME=VALUE", where=option, remedy=f"write it as {option} name=value"
        )
    return name, value


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in names))
    return table
