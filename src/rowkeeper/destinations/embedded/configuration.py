"""chDB's configuration: an encrypted disk for our tables, and nothing listening anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import escape

from rowkeeper.destinations.embedded.places import EnginePlaces

KEY_VARIABLE = "ROWKEEPER_ENGINE_DISK_KEY"
STORAGE_POLICY = "encrypted"

CONFIG = """<clickhouse>
  <storage_configuration>
    <disks>
      <plain><type>local</type><path>{disk}/</path></plain>
      <encrypted>
        <type>encrypted</type><disk>plain</disk><path>enc/</path>
        <algorithm>AES_256_CTR</algorithm><key_hex from_env="{variable}"/>
      </encrypted>
    </disks>
    <policies><{policy}><volumes><main><disk>encrypted</disk></main></volumes></{policy}></policies>
  </storage_configuration>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
  <logger><level>none</level></logger>
  <database_atomic_delay_before_drop_table_sec>1</database_atomic_delay_before_drop_table_sec>
</clickhouse>
"""

# Tables are dropped in the background (a DROP that waits would wait for ever on a disk that fails), but soon: the
# default of eight minutes would keep the space of every staging area for so long.

USERS = """<clickhouse>
  <profiles><default/></profiles>
  <users>
    <default>
      <password></password><networks><ip>::1</ip><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </default>
  </users>
  <quotas><default/></quotas>
</clickhouse>
"""


def write(places: EnginePlaces) -> str:
    """Writes the configuration, and returns what chDB is to connect to."""
    for folder in (places.data, places.disk):
        folder.mkdir(mode=0o700, exist_ok=True)
    users, config = places.folder / "users.xml", places.folder / "config.xml"
    _replace(users, USERS)
    _replace(
        config,
        CONFIG.format(
            disk=escape(str(places.disk)), users=escape(str(users)), variable=KEY_VARIABLE, policy=STORAGE_POLICY
        ),
    )
    return f"{places.data}?config-file={config}"


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a host that dies here leaves a file that the next one can read."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)
