"""A source while it is judged: each of its files opened once, leased, and remembered as it was found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from hypersdkd.host import qemu_img
from hypersdkd.host.checksum import sha256_of
from hypersdkd.host.files import open_regular
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_source import Lease, fingerprint, open_sibling, open_source
from hypersdkd.host.source_graph import over_descriptors
from hypersdkd.model.disk import FileNode, ImageNode, SourceDisk, SourceFile
from hypersdkd.model.problem import fail


class OpenSource:
    """The files of one source; a context manager. Its end releases them unless they are a disk's by then.

    ``roots`` are the directories below which sources may lie; the files are judged for ``seconds`` at most, together.
    """

    def __init__(self, roots: Sequence[Path], *, seconds: float) -> None:
        self._roots = roots
        self._until = time.monotonic() + seconds
        self._leases: list[Lease] = []
        self._kept = False
        self._own: set[int] = set()  # numbers of files of ours
        self._numbers: dict[str, int] = {}  # by file name: all lie in one directory
        self.images: list[ImageFile] = []
        self.files: list[SourceFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self._kept:
            for lease in self._leases:
                lease.release()

    def open(self, path: str) -> ImageFile:
        """The file that the manifest names. Raises what :func:`hypersdkd.host.image_source.open_source` does."""
        return self._add(*open_source(path, self._roots))

    def open_sibling(self, name: str) -> ImageFile:
        """A file that lies beside the first and that it names; the same one again when it is named again.

        Raises what :func:`hypersdkd.host.image_source.open_sibling` does.
        """
        number = self._numbers.get(name)
        return self._add(*open_sibling(self.files[0].path, name)) if number is None else self.images[number]

    def open_backing(self, path: str) -> ImageFile:
        """A file anywhere below the roots that an image names; the same one again when it is named again.

        Raises what :func:`hypersdkd.host.image_source.open_source` does.
        """
        resolved, fd = open_source(path, self._roots)
        for image, file in zip(self.images, self.files, strict=True):
            if file.path == resolved:
                os.close(fd)
                return image
        return self._add(resolved, fd)

    def open_own(self, path: Path) -> ImageFile:
        """A file of ours in the guest's own directory, made of the source."""
        self._own.add(len(self.files))
        return self._add(path, open_regular(path))

    def beside(self, name: str) -> OpenSource:
        """Another source, whose first file lies beside this one's first and is named by it: a disk of an appliance.

        Raises what :func:`hypersdkd.host.image_source.open_sibling` does.
        """
        other = OpenSource(self._roots, seconds=0)
        other._until = self._until
        other._add(*open_sibling(self.files[0].path, name))
        return other

    def _add(self, path: Path, fd: int) -> ImageFile:
        lease = Lease(fd, path.name)
        self._leases.append(lease)
        image = replace(ImageFile.of(fd, path.name), until=self._until)
        self._numbers[path.name] = len(self.images)
        self.images.append(image)
        self.files.append(SourceFile(path, fingerprint(fd), lease))
        return image

    def index(self, image: ImageFile) -> int:
        """Where it stands among the files."""
        return next(number for number, known in enumerate(self.images) if known is image)

    @property
    def fds(self) -> tuple[int, ...]:
        """A descriptor of each file."""
        return tuple(image.fd for image in self.images)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(image.size for image in self.images)

    @property
    def unleased(self) -> Sequence[str]:
        """Names of files that others can write to; a change is only noticed by the files' times."""
        return [file.path.name for file, lease in zip(self.files, self._leases, strict=True) if not lease.leased]

    @property
    def theirs(self) -> Sequence[tuple[SourceFile, ImageFile]]:
        """The files that are no files of ours."""
        pairs = zip(self.files, self.images, strict=True)
        return [pair for number, pair in enumerate(pairs) if number not in self._own]

    def checksums(self, on_progress: Callable[[int, int], None]) -> Sequence[str]:
        """``sha256:HEX`` of each of :attr:`theirs`; ``on_progress`` gets the bytes that are done, and of how many."""
        found: list[str] = []
        before = 0
        images = [image for _file, image in self.theirs]
        total = sum(image.size for image in images)

        def tell(done: int) -> None:
            on_progress(before + done, total)

        for image in images:
            found.append(sha256_of(image.fd, image.name, tell))
            before += image.size
        return found

    def compare_with_qemu(self, graph: ImageNode, facts: ImageFacts, name: str = "") -> None:
        """What qemu opens must be what was judged: of that format and size, link by link, and nothing else.

        ``name`` is what the disk is called, if not as the first file. Raises ``image-backing`` and ``image-invalid``.
        """
        first = name or self.images[0].name
        for node in graph.chain():
            alone = ImageNode(node.driver, node.file, None, node.options)
            with over_descriptors(alone, self.fds) as source:
                found = qemu_img.info(source)
                given = {f"/proc/self/fd/{fd}" for fd in source.descriptors}
                # A backing file is told by its name in the image, which was judged, and is opened by ours.
                given |= {name for backing in facts.backing for name in (backing, f"/proc/self/fd/{backing}")}
            if others := [name for name in found.names_others if name not in given]:
                raise fail("image-backing", f"{first} needs other files: {', '.join(others)[:500]}")
            if found.format != node.driver:
                raise fail("image-invalid", f"{first} is {node.driver}, but qemu-img finds {found.format}")
            if node is graph and found.virtual_size != facts.virtual_size:
                message = f"{first} has {facts.virtual_size} bytes by its header, but qemu-img finds "
                raise fail("image-invalid", message + str(found.virtual_size))
            of_its_own = isinstance(node.file, FileNode) and node is graph
            if of_its_own and found.variant and found.variant.lower() != facts.variant.lower():
                raise fail("image-invalid", f"{first} is {facts.variant}, but qemu-img finds {found.variant}")

    def keep(self, graph: ImageNode, facts: ImageFacts) -> SourceDisk:
        """The disk that these files are. Raises ``source-changed`` if one was written to since it was opened."""
        for image, file in zip(self.images, self.files, strict=True):
            if fingerprint(image.fd) != file.fingerprint or file.broken():
                raise fail("source-changed", f"{image.name} changed while it was read")
        self._kept = True
        return SourceDisk(tuple(self.files), graph, facts.virtual_size, self.size, facts.variant)

    def keep_part(self, graph: ImageNode, facts: ImageFacts) -> SourceDisk:
        """A disk that is a part of one file, or one of our own files: of several disks each has only what it needs.

        Raises ``source-changed`` as :meth:`keep` does.
        """
        whole = self.keep(graph, facts)
        assert isinstance(graph.file, FileNode)
        numbers = sorted({0, graph.file.index})
        node = replace(graph, file=replace(graph.file, index=numbers.index(graph.file.index)))
        files = tuple(whole.files[number] for number in numbers)
        return replace(whole, files=files, graph=node, file_size=facts.file_size)
