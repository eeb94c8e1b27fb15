"""Files from the network: what is known of them, fetched, resumed, checked by digest."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A file that can be fetched.

    Attributes:
        name: file name to keep it under.
        url: where it is; `drive:ID` is a file on Google Drive, `cityscapes:PACKAGE` a package of
            the Cityscapes site, which wants a login.
        size: bytes, None where unknown.
        digest: `algorithm:hexadecimal`, None where nobody published one: pinned on first use.
        digest_from: who says so.
    """

    name: str
    url: str
    size: int | None = None
    digest: str | None = None
    digest_from: str | None = None
