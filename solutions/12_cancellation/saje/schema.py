"""The database file: its tables, and how a process opens it."""

import sqlite3
from pathlib import Path

APPLICATION_ID = 0x53414A45
"""The letters SAJE. SQLite keeps this number in the header of the file."""

BUSY = 2.0
"""Seconds to wait until another process has committed. A commit takes milliseconds."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which the jobs came in
        uid BLOB NOT NULL UNIQUE,    -- 16 bytes
        task TEXT NOT NULL,
        kwargs TEXT NOT NULL,        -- JSON
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0, -- how often the job was claimed
        worker TEXT,                 -- which process claimed it last
        submitted_at REAL NOT NULL,  -- seconds since 1970, UTC
        started_at REAL,
        finished_at REAL,
        result TEXT,                 -- JSON
        error TEXT                   -- JSON
    ) STRICT;
    CREATE INDEX jobs_queued ON jobs (seq) WHERE state = 'queued';
    CREATE INDEX jobs_running ON jobs (seq) WHERE state = 'running';
    CREATE INDEX jobs_failed ON jobs (seq) WHERE state = 'failed';
    """,
    """
    ALTER TABLE jobs ADD COLUMN run_at REAL NOT NULL DEFAULT 0; -- not before that time
    ALTER TABLE jobs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0; -- how often it failed
    ALTER TABLE jobs ADD COLUMN failures TEXT NOT NULL DEFAULT '[]'; -- JSON
    UPDATE jobs SET run_at = submitted_at;
    CREATE INDEX jobs_ready ON jobs (run_at, seq) WHERE state = 'queued';
    CREATE INDEX jobs_dead ON jobs (seq) WHERE state = 'dead';
    """,
    """
    CREATE TABLE workers (
        name TEXT PRIMARY KEY,     -- as in jobs.worker
        alive_until REAL NOT NULL  -- seconds of the monotonic clock
    ) STRICT;
    """,
    """
    ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0; -- of its workers
    CREATE INDEX jobs_suspect ON jobs (run_at) WHERE state = 'queued' AND crashes > 1;
    """,
    """
    ALTER TABLE jobs ADD COLUMN cancel INTEGER NOT NULL DEFAULT 0; -- 1 if asked for
    ALTER TABLE jobs ADD COLUMN key TEXT;     -- what NewJob says about it
    ALTER TABLE jobs ADD COLUMN digest TEXT;
    CREATE UNIQUE INDEX jobs_key ON jobs (key) WHERE key IS NOT NULL;
    CREATE INDEX jobs_cancelling ON jobs (worker) WHERE state = 'running' AND cancel;
    CREATE INDEX jobs_cancelled ON jobs (seq) WHERE state = 'cancelled';
    CREATE TABLE slots (
        task TEXT NOT NULL,  -- that is due again and again
        slot REAL NOT NULL,  -- when it was due, in seconds since 1970, UTC
        PRIMARY KEY (task, slot)
    ) STRICT, WITHOUT ROWID;
    """,
)
"""The first makes a file of version 1 from an empty one, the second one of version 2
from that, and so on. The file's version is in PRAGMA user_version."""


def connect(path: Path, sync: str) -> sqlite3.Connection:
    """Open the database, and create what it lacks.

    Args:
        path: The file.
        sync: "full" to wait at each commit until the data is on the disk, where it
            survives a power cut. "normal" to leave that to the operating system, which
            is faster, and survives the end of any process as well.

    Returns:
        A connection that several threads may use, one at a time.

    Raises:
        OSError: The file can't be opened, is damaged, or isn't ours. It is left as it
            was.
    """
    try:
        db = sqlite3.connect(
            path, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        prepare(db)
        # In WAL mode, those who read don't wait for the one who writes.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {sync}")
    except (sqlite3.Error, ValueError) as error:
        raise OSError(f"{path} can't be used: {error}") from error
    return db


def prepare(db: sqlite3.Connection) -> None:
    """Create the tables in a new file, or bring an older file up to date.

    Args:
        db: A connection to the file.

    Raises:
        ValueError: The file belongs to another program, or to a newer one.
        sqlite3.Error: The file isn't a database, or it can't be written.
    """

    def read(pragma: str) -> int:
        return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])

    version = read("user_version")
    if read("application_id") != APPLICATION_ID and read("schema_version"):
        raise ValueError("it is the database of another program")
    if version > len(MIGRATIONS):
        raise ValueError(f"it has version {version}, which is newer than this program")
    if version < len(MIGRATIONS):
        db.executescript(
            f"BEGIN IMMEDIATE; {''.join(MIGRATIONS[version:])}"
            f"PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {len(MIGRATIONS)}; COMMIT"
        )
