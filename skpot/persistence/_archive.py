"""The archive of a model file, and checks of it before any object is built from its content.

An archive holds what skops writes, and a seal: format and version, the size of all members and a
checksum of their content. Members are not compressed, so that reading them takes no more memory
than the size of the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import struct
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import InputError, InputTypeError, ModelFileError, SkpotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, BinaryIO
    from zipfile import ZipFile

    from skpot.typing import PathLike

SEAL = "skpot.json"  # name of the member that is the seal
CARD = "card.json"  # member with what the file says about the model, if there is one
SCHEMA = "schema.json"  # member of skops with all objects; their arrays are members of their own

_SEAL_BYTES = 4096  # largest size of a seal
_CARD_BYTES = 1 << 20  # largest size of a card
_END = struct.Struct("<4s4H2LH")  # the end of an archive; item 5 is the size of the directory
_DIRECTORY_BYTES = 8e6  # largest size of a directory, enough for about 100 000 arrays
_PIECE = 1 << 20  # number of bytes that are read at a time
# Compressed arrays may take this many bytes, or this many times the size of the file if that is
# more.
_UNPACKED_BYTES = 64e6
_UNPACKED = 20


class Seal(NamedTuple):
    """What a model file says about itself."""

    format: int
    skpot_version: str
    size: int  # number of bytes of all other members
    checksum: str


def add_card(buffer: BinaryIO, card: Mapping[str, Any]) -> None:
    """Add a card to an archive that has no seal yet.

    Parameters
    ----------
    buffer : binary file
        The archive that skops has written.
    card : dict
        What JSON can hold; infinite numbers and NaN are refused.
    """
    try:
        text = json.dumps(dict(card), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"the card must be a dictionary of what JSON can hold: {error}"
        ) from error
    if len(text) > _CARD_BYTES:
        raise InputError(f"the card takes {len(text)} bytes; it may take {_CARD_BYTES}.")
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(CARD, text)


def card_of(path: str, archive: ZipFile) -> dict[str, Any]:
    """Return the card of an archive, empty if it has none.

    Parameters
    ----------
    path : str
        Name of the file, for messages.
    archive : ZipFile
        The archive, whose content was checked.
    """
    if CARD not in archive.namelist():
        return {}
    if archive.getinfo(CARD).file_size > _CARD_BYTES:
        raise ModelFileError(f"{path} is no model written by skpot.dump: its card is too large.")
    card = json.loads(archive.read(CARD))
    if not isinstance(card, dict):
        raise ModelFileError(f"{path} is damaged: its card is no dictionary.")
    return card


def seal(buffer: BinaryIO, file_format: int, version: str) -> None:
    """Add the seal to an archive.

    Parameters
    ----------
    buffer : binary file
        The archive that skops has written.
    file_format : int
        Number of the format of the content.
    version : str
        Version of skpot.
    """
    with zipfile.ZipFile(buffer, "a") as archive:
        size = sum(member.file_size for member in archive.infolist())
        checksum = _checksum(archive, file_format, version)
        text = json.dumps(Seal(file_format, version, size, checksum)._asdict())
        archive.writestr(SEAL, text)


@contextlib.contextmanager
def reading(path: PathLike) -> Iterator[None]:
    """Turn any error in a block that reads a model file into an error that names the file."""
    try:
        yield
    except (SkpotError, Warning):  # filters may turn warnings into errors
        raise
    except MemoryError as error:
        raise ModelFileError(f"{path} holds more than fits into memory.") from error
    except Exception as error:  # a damaged file can cause any kind of error
        reason = str(error) or type(error).__name__
        raise ModelFileError(f"{path} is damaged or no model file: {reason}") from error


def check_directory(path: str, file: BinaryIO) -> None:
    """Refuse an archive with more members than any model has, before their list is read.

    Parameters
    ----------
    path : str
        Name of the file, for messages.
    file : binary file
        The archive.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(max(0, length - _END.size))
    end = file.read(_END.size)
    if len(end) == _END.size and _END.unpack(end)[0] == b"PK\5\6":
        size = _END.unpack(end)[5]
        if size > _DIRECTORY_BYTES:
            raise ModelFileError(
                f"{path} is no model written by skpot.dump: its list of members takes {size} bytes."
            )
    file.seek(0)


def read_seal(path: str, archive: ZipFile) -> Seal:
    """Return the seal of an archive; refuse the archive if its members have other sizes.

    Parameters
    ----------
    path : str
        Name of the file, for messages.
    archive : ZipFile
        The archive.
    """
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ModelFileError(f"{path} is damaged: two of its members have one name.")
    packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if packed or any(m.file_size != m.compress_size for m in members):
        raise ModelFileError(
            f"{path} is no model written by skpot.dump: its members {packed[:3]} are compressed."
        )
    if SEAL not in names:
        raise ModelFileError(f"{path} is no model written by skpot.dump: {_without_seal(archive)}")
    found = _parse_seal(path, archive)
    size = sum(member.file_size for member in members if member.filename != SEAL)
    if size != found.size:
        raise ModelFileError(
            f"{path} is damaged or was changed: it declares {found.size} bytes, but holds {size}."
        )
    return found


def _parse_seal(path, archive):
    if archive.getinfo(SEAL).file_size > _SEAL_BYTES:
        raise ModelFileError(f"{path} is no model written by skpot.dump: its seal is too large.")
    try:
        content = json.loads(archive.read(SEAL))
        return Seal(
            int(content["format"]),
            str(content["skpot_version"]),
            int(content["size"]),
            str(content["checksum"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged: its seal cannot be read ({error}).") from error


def _without_seal(archive):
    """Return a sentence about what an archive without a seal may be."""
    try:
        if archive.getinfo(SCHEMA).file_size > _UNPACKED_BYTES:
            return "its seal is missing."
        content = json.loads(archive.read(SCHEMA))["content"]
        version = json.loads(content["skpot_version"]["content"])
    except KeyError as error:
        if error.args[0] == "skpot_version":
            return "it may be a plain skops file (skops.io.load)."
        return "it is another kind of archive."
    except (TypeError, ValueError):
        return "it is another kind of archive."
    return (
        f"it has no seal, which files of early development versions of skpot ({version}) lack. "
        "Fit the model again and dump it with this version."
    )


def check_content(path: str, archive: ZipFile, found: Seal) -> None:
    """Refuse an archive that was changed since it got its seal, or whose arrays are too large."""
    if _checksum(archive, found.format, found.skpot_version) != found.checksum:
        raise ModelFileError(
            f"{path} is damaged or was changed after skpot.dump wrote it: its content does not "
            "agree with its checksum."
        )
    limit = max(_UNPACKED_BYTES, _UNPACKED * found.size)
    for member in archive.infolist():
        with archive.open(member) as file:
            if member.filename.endswith(".npy"):
                _check_array(path, member, file)
            elif member.filename.endswith(".npz"):
                _check_packed(path, member, file, limit)


def _checksum(archive, file_format, version):
    """Return the checksum of all members except the seal, which their order does not change."""
    digest = hashlib.blake2b(f"{file_format} {version}".encode(), digest_size=32)
    for name in sorted(set(archive.namelist()) - {SEAL}):
        digest.update(f"\n{name} {archive.getinfo(name).file_size}\n".encode())
        with archive.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


def _check_array(path, member, file):
    """Refuse an array whose header declares another size than it has."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ModelFileError(f"{path} is damaged: {member.filename} has NumPy's format {version}.")
    shape, _, dtype = readers[version](file)
    size = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or size != member.file_size:
        raise ModelFileError(
            f"{path} is damaged: {member.filename} declares an array {shape} of {dtype}, but has "
            f"{member.file_size} bytes."
        )


def _check_packed(path, member, file, limit):
    """Refuse compressed arrays, as sparse matrices have, that are too large or inconsistent."""
    with zipfile.ZipFile(io.BytesIO(file.read())) as packed:
        if sum(inner.file_size for inner in packed.infolist()) > limit:
            raise ModelFileError(
                f"{path} holds {member.filename}, whose arrays unpack to more than {limit:.0f} "
                "bytes."
            )
        for inner in packed.infolist():
            with packed.open(inner) as array:
                _check_array(path, inner, array)
