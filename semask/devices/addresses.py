"""Addresses by which the processes of a run find each other, without anybody's name.

A machine's own name need not have an address: in many containers, and on laptops and small virtual
machines away from their network, nothing resolves it, or only after a long time.
"""

import os
import socket

import psutil

from semask.base.errors import InputError


def loopback() -> str:
    """This machine's address for itself: 127.0.0.1, or ::1 where there is no IPv4.

    InputError where it has none.
    """
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            # bound it can be where the interface is down, too, but not reached
            with socket.create_server((address, 0), family=family) as server:
                socket.create_connection(server.getsockname()[:2], timeout=5).close()
                return address
        except OSError:
            continue
    raise InputError(
        "this machine has no loopback network, by which the processes of a run meet; have it "
        "brought up (ip link set lo up), or run rows of one process"
    )


def address_towards(other: str) -> str:
    """This machine's address in the network in which another one, an address, is reached.

    It is the loopback's where there is no way to the other one. InputError where there is no
    loopback either.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((other, 9))  # sends nothing
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return loopback()


def bind_collectives(address: str) -> None:
    """Have gloo use the network of an address of this machine, unless the user says which one.

    By default it looks this machine's name up, warns where that has no address, and takes one that
    other machines cannot reach where it is the loopback's.
    """
    for interface, listed in psutil.net_if_addrs().items():
        if address in [each.address.partition("%")[0] for each in listed]:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
            return
