"""Whether a MySQL or MariaDB source can be read as settings and specs ask: every fault at once, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pymysql

from cdc.mysql_nudge import nudge_faults
from cdc.mysql_source import address_of, connect, master_status, refusal, server_faults, unfit_tables
from cdc.source_check import NeededTable
from trueup.model.errors import TrueupError
from trueup.model.faults import Checked, Fault, fault_of
from trueup.settings import SourceSettings


def check_mysql(source: SourceSettings, needed: Sequence[NeededTable]) -> Checked:
    """Compare the server with what is needed of it; one that is away is one fault."""
    where = address_of(source)
    facts: list[str] = []
    faults: list[Fault] = []
    needed_by = {one.table.label: one.needed_by for one in needed}
    try:
        with closing(connect(source)) as connection:
            facts.append(f"{connection.get_server_info()} at {where}")
            if source.reader != "poll":
                faults += server_faults(connection, source)
                place = master_status(connection)
                facts.append(f"the binlog is at {place.file}:{place.pos}")
            if source.reader == "debezium":
                faults += nudge_faults(connection, source)
            unfit = unfit_tables(connection, [one.table for one in needed])
            facts.append(f"{len(needed_by) - len(unfit)} tables")
            for label, reason in unfit.items():
                remedy = f"alter it, or correct what names it: {needed_by[label]}"
                faults.append(Fault(reason, f"{where}, table {label}", remedy))
    except TrueupError as error:
        remedy = error.remedy or "start the database, or correct source.host and source.port"
        faults.append(fault_of(error)._replace(remedy=remedy))
    except pymysql.MySQLError as error:
        faults.append(fault_of(refusal(error, source)))
    return Checked(facts, list(dict.fromkeys(faults)))
