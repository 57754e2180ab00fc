"""chDB's configuration: an encrypted disk for our tables, and nothing listening anywhere."""

from __future__ import annotations

import os
from collections.abc import Collection
from html import escape  # of XML as well; the one of `xml.sax` imports HTTP
from pathlib import Path

from rowkeeper.destinations.embedded.places import EnginePlaces

KEY_VARIABLE = "ROWKEEPER_ENGINE_DISK_KEY_"
STORAGE_POLICY = "encrypted"

CONFIG = """<clickhouse>
  <storage_configuration>
    <disks>
      <plain><type>local</type><path>{disk}/</path></plain>
      <encrypted>
        <type>encrypted</type><disk>plain</disk><path>enc/</path>
        <algorithm>AES_256_CTR</algorithm>{keys}<current_key_id>{key}</current_key_id>
      </encrypted>
    </disks>
    <policies><{policy}><volumes><main><disk>encrypted</disk></main></volumes></{policy}></policies>
  </storage_configuration>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
  <backups><allowed_path>{backups}/</allowed_path></backups>
  <logger><level>none</level></logger>
  <max_server_memory_usage>{total_bytes}</max_server_memory_usage>
  <mark_cache_size>{cache_bytes}</mark_cache_size>
  <primary_index_cache_size>{cache_bytes}</primary_index_cache_size>
  <background_pool_size>{merge_threads}</background_pool_size>
  <background_merges_mutations_concurrency_ratio>{merges_per_thread}</background_merges_mutations_concurrency_ratio>
  <merge_tree>
    <{lowered}>{lowered_below}</{lowered}>
    <max_parts_to_merge_at_once>{merged_parts}</max_parts_to_merge_at_once>
    <merge_max_block_size_bytes>{merged_bytes}</merge_max_block_size_bytes>
  </merge_tree>
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


# Both caches may take 5 GB by default, whatever the machine.
CACHE_SHARE = 20
# A merge holds about two granules (of 10 MB, where rows are wide) of each of its parts: by default of up to 100 parts.
# Fewer than five are not thought worth a merge.
MERGED_PART_BYTES = 20 << 20
MERGE_SHARE = 4
MERGED_PARTS_MIN, MERGED_PARTS_MAX = 5, 100
MERGED_BYTES_SHARE = 100
MERGED_BYTES_MAX = 10 << 20
# Four merges at a time are chDB's own. Where memory is short there are two, and while one is under way the other is a
# small one, so that a DELETE, which waits for its turn among them, does not wait for two that are large.
SHORT_BELOW_BYTES = 1 << 30
MERGES_PER_THREAD = 2
LOWERED = "number_of_free_entries_in_pool_to_lower_max_size_of_merge"
# jemalloc keeps what it was given back for five seconds: as much again as the merges hold. At half a second it takes
# 3% more of the processor's time; at none at all 60%, most of it for pages that are asked for again at once.
ALLOCATOR_VARIABLE = "JE_MALLOC_CONF"
ALLOCATOR_WHERE_SHORT = "dirty_decay_ms:500"


def key_variable(number: str) -> str:
    """The variable of the host's environment in which the engine finds a key of its disk, as it starts."""
    return f"{KEY_VARIABLE}{number}"


def allocator(total_bytes_max: int) -> dict[str, str]:
    """What the engine's allocator finds in its environment as it is loaded; what is there already has precedence."""
    chosen = {ALLOCATOR_VARIABLE: ALLOCATOR_WHERE_SHORT} if total_bytes_max < SHORT_BELOW_BYTES else {}
    return {name: value for name, value in chosen.items() if name not in os.environ}


def write(places: EnginePlaces, total_bytes_max: int, keys: Collection[str], key: int) -> str:
    """Writes the configuration, and returns what chDB is to connect to.

    Args:
        keys: the ids of all keys of the disk.
        key: the one that new files are written with. A file says itself which key it was written with.
    """
    for folder in (places.data, places.disk, places.backups):
        folder.mkdir(mode=0o700, exist_ok=True)
    users, config = places.folder / "users.xml", places.folder / "config.xml"
    short = total_bytes_max < SHORT_BELOW_BYTES
    _replace(users, USERS)
    _replace(
        config,
        CONFIG.format(
            disk=escape(str(places.disk)),
            users=escape(str(users)),
            backups=escape(str(places.backups)),
            keys="".join(f'<key_hex id="{each}" from_env="{key_variable(each)}"/>' for each in keys),
            key=key,
            policy=STORAGE_POLICY,
            total_bytes=total_bytes_max,
            merge_threads=1 if short else 2,
            merges_per_thread=MERGES_PER_THREAD,
            lowered=LOWERED,
            lowered_below=MERGES_PER_THREAD if short else 0,
            cache_bytes=total_bytes_max // CACHE_SHARE,
            merged_parts=max(
                MERGED_PARTS_MIN, min(total_bytes_max // MERGE_SHARE // MERGED_PART_BYTES, MERGED_PARTS_MAX)
            ),
            merged_bytes=min(total_bytes_max // MERGED_BYTES_SHARE, MERGED_BYTES_MAX),
        ),
    )
    return f"{places.data}?config-file={config}"


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a host that dies here leaves a file that the next one can read."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    os.replace(draft, path)
