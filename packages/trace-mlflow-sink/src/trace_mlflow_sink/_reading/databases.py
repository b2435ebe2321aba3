"""Reads traces from databases: a SQLite file by itself, any other through MLflow's own store.

Importing MLflow takes six seconds, which is too long for somebody who wants to look at a trace.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from trace_mlflow_sink._reading.pages import PAGE, Query
from trace_mlflow_sink._reading.stored import StoredTrace

_NEEDED: Final = {
    "experiments": {"experiment_id", "name", "lifecycle_stage"},
    "trace_info": {"request_id", "experiment_id", "timestamp_ms"},
    "trace_request_metadata": {"request_id", "key", "value"},
    "trace_tags": {"request_id", "key", "value"},
    "spans": {"trace_id", "content"},
}
"""The tables and columns that are read."""
_BUSY_SECONDS: Final = 5.0


class SqliteStore:
    """Reads a SQLite file without changing it.

    Args:
        path: The file.

    Raises:
        sqlite3.Error: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        address = f"file:{quote(str(path))}?mode=ro"
        self._database = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def is_known(self) -> bool:
        """Tell whether the tables are those we read, of MLflow 3.8 and newer."""
        return all(
            columns <= {row[1] for row in self._database.execute(f"pragma table_info({table})")}
            for table, columns in _NEEDED.items()
        )

    def experiments(self) -> dict[str, str]:
        """Return the names of all experiments by their ids."""
        rows = self._database.execute(
            "select experiment_id, name from experiments where lifecycle_stage = 'active'"
        )
        return {str(number): name for number, name in rows}

    def traces(self, experiment_ids: list[str], query: Query) -> Iterator[StoredTrace]:
        """Read traces, a page at a time."""
        where, values = _conditions(experiment_ids, query)
        order = "desc" if query.newest_first else "asc"
        ids = self._database.execute(
            f"select request_id from trace_info where {where} order by timestamp_ms {order}",  # noqa: S608  # of our own words
            values,
        )
        while page := [row[0] for row in ids.fetchmany(PAGE)]:
            yield from self._page(page)

    def _page(self, ids: list[str]) -> Iterator[StoredTrace]:
        spans = self._of(ids, "spans", "trace_id", "content")
        metadata = self._of(ids, "trace_request_metadata", "request_id", "key, value")
        tags = self._of(ids, "trace_tags", "request_id", "key, value")
        for one in ids:
            stored = [json.loads(content) for (content,) in spans[one]]
            yield StoredTrace(stored, dict(metadata[one]), dict(tags[one]))

    def _of(
        self, ids: list[str], table: str, key: str, columns: str
    ) -> defaultdict[str, list[tuple[Any, ...]]]:
        rows = self._database.execute(
            f"select {key}, {columns} from {table} where {key} in ({_marks(ids)})",  # noqa: S608  # of our own words
            ids,
        )
        found: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for one, *rest in rows:
            found[one].append(tuple(rest))
        return found


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _conditions(experiment_ids: list[str], query: Query) -> tuple[str, list[Any]]:
    where, values = [f"experiment_id in ({_marks(experiment_ids)})"], list[Any](experiment_ids)
    if query.since_ms is not None:
        where.append("timestamp_ms >= ?")
        values.append(query.since_ms)
    if query.until_ms is not None:
        where.append("timestamp_ms < ?")
        values.append(query.until_ms)
    if query.prefix:
        where.append("substr(request_id, 1, ?) = ?")
        values += [len(query.prefix), query.prefix]
    return " and ".join(where), values


class MlflowStore:
    """Reads any database, or an unknown version's SQLite file, through MLflow's own store.

    Args:
        uri: The database.
    """

    def __init__(self, uri: str) -> None:
        import mlflow  # noqa: F401  # its parts import each other in circles
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        make: Any = SqlAlchemyStore
        self._store = make(uri, "mlruns")

    def close(self) -> None:
        """Close the database's connections."""
        self._store.engine.dispose()

    def experiments(self) -> dict[str, str]:
        """Return the names of all experiments by their ids."""
        return {e.experiment_id: e.name for e in self._store.search_experiments()}

    def traces(self, experiment_ids: list[str], query: Query) -> Iterator[StoredTrace]:
        """Read traces, a page at a time."""
        order, token = [f"timestamp_ms {'DESC' if query.newest_first else 'ASC'}"], None
        bounds = {">=": query.since_ms, "<": query.until_ms}
        wanted = " AND ".join(
            f"trace.timestamp_ms {sign} {moment}"
            for sign, moment in bounds.items()
            if moment is not None
        )
        while True:
            infos, token = self._store.search_traces(
                locations=experiment_ids,
                filter_string=wanted or None,
                max_results=PAGE,
                order_by=order,
                page_token=token,
            )
            ids = [info.trace_id for info in infos if info.trace_id.startswith(query.prefix)]
            traces = {t.info.trace_id: t for t in self._store.batch_get_traces(ids)} if ids else {}
            for trace in (traces[one] for one in ids if one in traces):
                spans = [span.to_dict() for span in trace.data.spans]
                yield StoredTrace(spans, trace.info.trace_metadata, trace.info.tags)
            if not token:
                return
