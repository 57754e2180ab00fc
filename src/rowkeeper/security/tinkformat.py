"""Keysets in Tink's format: what is stored can be read by Tink in any language, given the key that wraps it.

A key is an `HkdfPrfKey` (HKDF-SHA256 without salt), from which `Key.derive` derives just as Tink's own primitive does.
Tink's Python has no call that adds or destroys a key; its keyset is a public message, which is put together here and
checked by Tink as it parses it. Imported late: Tink takes 0.15 s, and few commands open a keyset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from tink import TinkError, json_proto_keyset_format, proto_keyset_format, secret_key_access
from tink.proto import common_pb2, hkdf_prf_pb2, tink_pb2

from rowkeeper.security.keyproviders import KeyProvider, NotUnwrapped

TYPE_URL = "type.googleapis.com/google.crypto.tink.HkdfPrfKey"


def wrapped(
    primary: int, materials: Mapping[int, bytes], destroyed: Sequence[int], provider: KeyProvider, about: bytes
) -> dict[str, Any]:
    """A keyset, wrapped: Tink's JSON document of an encrypted keyset.

    Args:
        materials: the keys that read, by id.
        destroyed: ids of those that were.
        about: bound in as associated data.
    """
    keyset = tink_pb2.Keyset(primary_key_id=primary)
    for number, material in materials.items():
        params = hkdf_prf_pb2.HkdfPrfParams(hash=common_pb2.SHA256)
        value = hkdf_prf_pb2.HkdfPrfKey(version=0, params=params, key_value=material).SerializeToString()
        data = tink_pb2.KeyData(type_url=TYPE_URL, value=value, key_material_type=tink_pb2.KeyData.SYMMETRIC)
        keyset.key.add(
            key_data=data, status=tink_pb2.ENABLED, key_id=number, output_prefix_type=tink_pb2.OutputPrefixType.RAW
        )
    for number in destroyed:
        keyset.key.add(status=tink_pb2.DESTROYED, key_id=number, output_prefix_type=tink_pb2.OutputPrefixType.RAW)
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    document: dict[str, Any] = json.loads(json_proto_keyset_format.serialize_encrypted(handle, provider, about))
    return document


def unwrapped(document: Mapping[str, Any], provider: KeyProvider, about: bytes) -> tuple[int, dict[int, bytes]]:
    """The primary's id, and the keys that read, by id.

    Raises NotUnwrapped if it was changed, or wrapped with another key or about something else.
    """
    try:
        handle = json_proto_keyset_format.parse_encrypted(json.dumps(document), provider, about)
        keyset = tink_pb2.Keyset.FromString(proto_keyset_format.serialize(handle, secret_key_access.TOKEN))
        materials = {
            each.key_id: hkdf_prf_pb2.HkdfPrfKey.FromString(each.key_data.value).key_value
            for each in keyset.key
            if each.status == tink_pb2.ENABLED
        }
    except (TinkError, DecodeError) as error:
        raise NotUnwrapped from error
    return keyset.primary_key_id, materials
