"""Names for qemu of a source that was judged: ``json:`` pseudo-files, made of its graph and the files themselves.

Over descriptors, for qemu-img, which is given nothing else; or over paths and links in a directory of ours, for
programs that close descriptors. In both every driver is named, so that neither a file's name nor its content decides
what is opened, and every image has the backing image that was judged, or none.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypersdkd.host.image_source import judged
from hypersdkd.host.qemu_img import Source, plain_path, pseudo_name
from hypersdkd.model.disk import Content, FileNode, ImageNode, SourceDisk, TextNode, Zeros


@contextmanager
def opened(disk: SourceDisk) -> Iterator[Source]:
    """Open a disk that was judged before; raises ``source-changed`` when it is not, or does not stay, what it was."""
    with judged(disk) as fds, over_descriptors(disk.graph, fds) as source:
        yield source


@contextmanager
def over_descriptors(graph: ImageNode, fds: Sequence[int]) -> Iterator[Source]:
    """The graph over open files; ``fds`` are in the order of ``SourceDisk.files``. Our own files lie in memory."""
    with ExitStack() as stack:
        names = _Descriptors(fds, stack)
        reference = pseudo_name(names.image(graph))
        yield Source(reference, tuple(dict.fromkeys(fds)), tuple(names.ours))


def over_paths(disk: SourceDisk, directory: Path, stem: str) -> str:
    """The disk's ``json:`` name over paths, for a program that opens files by itself and for as long as nobody
    changes them. Our own files, and links to files whose names qemu cannot be told, are made in ``directory``,
    which is ours, with names that begin with ``stem``. A qcow2 overlay can hold a name of 1023 bytes.
    """
    return pseudo_name(_Paths([file.path for file in disk.files], directory, stem).image(disk.graph))


class _Names(ABC):
    """Makes qemu's block nodes, and the texts that name files."""

    @abstractmethod
    def of_file(self, index: int) -> str:
        """The name of a file of the disk."""

    @abstractmethod
    def in_text(self, index: int) -> str:
        """Its name in a text of ours: without quotation marks, of less than 512 bytes."""

    @abstractmethod
    def new(self, content: bytes, size: int) -> str:
        """The name of a new file of ours."""

    def new_in_text(self, content: bytes, size: int) -> str:
        """Its name in a text of ours."""
        return self.new(content, size)

    def image(self, node: ImageNode) -> dict[str, object]:
        backing = None if node.backing is None else self.image(node.backing)
        return {"driver": node.driver, "backing": backing, **node.options, "file": self._file(node.file)}

    def _file(self, node: FileNode | TextNode | ImageNode) -> dict[str, object]:
        if isinstance(node, ImageNode):
            return self.image(node)
        if isinstance(node, TextNode):
            text = "".join(map(self._part, node.parts)).encode()
            return {"driver": "file", "filename": self.new(text, len(text))}
        whole: dict[str, object] = {"driver": "file", "filename": self.of_file(node.index)}
        if node.offset == 0 and node.size is None:
            return whole
        window: dict[str, object] = {"driver": "raw", "offset": node.offset, "file": whole}
        return window if node.size is None else {**window, "size": node.size}

    def _part(self, part: str | int | Zeros | Content) -> str:
        if isinstance(part, Zeros):
            return self.new_in_text(b"", part.size)
        if isinstance(part, Content):
            return self.new_in_text(part.data, len(part.data))
        return part if isinstance(part, str) else self.in_text(part)


class _Descriptors(_Names):
    def __init__(self, fds: Sequence[int], stack: ExitStack) -> None:
        self._fds = fds
        self._stack = stack
        self.ours: list[int] = []

    def of_file(self, index: int) -> str:
        return f"/proc/self/fd/{self._fds[index]}"

    in_text = of_file

    def new(self, content: bytes, size: int) -> str:
        fd = os.memfd_create("hypersdkd", os.MFD_CLOEXEC)
        self._stack.callback(os.close, fd)
        self.ours.append(fd)
        os.write(fd, content)
        os.truncate(fd, size)
        return f"/proc/self/fd/{fd}"


class _Paths(_Names):
    def __init__(self, paths: Sequence[Path], directory: Path, stem: str) -> None:
        self._paths = paths
        self._directory = directory
        self._stem = stem
        self._made = 0

    def of_file(self, index: int) -> str:
        return str(plain_path(self._paths[index], self._directory, f"{self._stem}-file{index}"))

    def in_text(self, index: int) -> str:
        link = self._directory / f"{self._stem}-file{index}"
        link.unlink(missing_ok=True)
        link.symlink_to(self._paths[index])
        return link.name  # beside the text: what stands in the directory's own path does not matter

    def new(self, content: bytes, size: int) -> str:
        path = self._directory / f"{self._stem}-{self._made}"
        self._made += 1
        path.write_bytes(content)
        os.truncate(path, size)
        return str(path)

    def new_in_text(self, content: bytes, size: int) -> str:
        return Path(self.new(content, size)).name
