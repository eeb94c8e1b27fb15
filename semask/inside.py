"""Paths that files name: they must stay below the folder that they are relative to."""

from pathlib import PurePosixPath


def is_inside(name: str) -> bool:
    """Whether a relative path, with slashes, leads to something below the folder it starts in."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
    )
