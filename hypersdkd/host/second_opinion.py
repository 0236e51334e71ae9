"""A second, independent judge of images: OpenStack's format inspector.

It reads streams from their start, so it is given the start and the end of the file instead of all of it.
Its gaps are covered by the first judge, :mod:`hypersdkd.host.image_header`: it takes a padded text
descriptor for a raw disk, and knows nothing of raw disks' sizes.
"""

from __future__ import annotations

from typing import Final

from hypersdkd.host.image_file import ImageFile
from hypersdkd.model.problem import fail

_START: Final = 2 << 20  # all that it looks at: a header, a descriptor of at most 1 MiB
_END: Final = 64 << 10
_DESCRIPTOR_FROM: Final = 512
_FEATURES: Final = 79  # the low byte of the incompatible features
_EXTENDED_L2: Final = 1 << 4
_ASCII: Final = bytes(range(128)) + b"?" * 128


def confirm(image: ImageFile, format_name: str) -> None:
    """Raises ``image-unsupported`` with its reasons when it does not find ``vmdk``, ``qcow2`` or ``vdi`` safe."""
    # Not at the top: this import takes 70 ms, and a worker shall be up in 250 ms.
    from oslo_utils.imageutils import format_inspector as inspector  # noqa: PLC0415

    inspector.LOG.disabled = True  # what it has to say is in the problem
    kind = inspector.get_inspector(format_name)
    if kind is None:
        raise fail("image-unsupported", f"images of type {format_name} have no second judge")
    judge = kind()
    try:
        for chunk in _chunks(image, format_name):
            judge.eat_chunk(chunk)
        judge.finish()
        judge.safety_check()
    except inspector.SafetyCheckFailed as error:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in error.failures.items())
        raise fail("image-unsupported", f"{image.name} is not safe: {reasons}") from error
    except Exception as error:  # it parses hostile bytes; whatever goes wrong there is a reason to refuse
        raise fail("image-unsupported", f"{image.name} cannot be judged: {error}") from error


def _chunks(image: ImageFile, format_name: str) -> list[bytes]:
    start = image.start(_START)
    if format_name == "vmdk":  # it wants ASCII; the only text that may be none is the extent's name, which nobody reads
        start = start[:_DESCRIPTOR_FROM] + start[_DESCRIPTOR_FROM:].translate(_ASCII)
    if format_name == "qcow2":  # it does not know extended L2 entries yet; the first judge does
        start = start[:_FEATURES] + bytes([start[_FEATURES] & ~_EXTENDED_L2]) + start[_FEATURES + 1 :]
    rest = image.size - len(start)
    return [start, image.end(min(_END, rest))] if rest > 0 else [start]
