"""The addresses of servers: which texts are one, and how gRPC gets there."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lossd import arguments

# The schemes of gRPC's own resolvers; a proxy is never asked for the first two.
_UNIX = ("unix", "unix-abstract")
_SCHEMES = (*_UNIX, "dns", "ipv4", "ipv6", "xds", "vsock")

_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+):([0-9]{1,5}|https?)")

# gRPC asks for these variables in this order, and only in lower case.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


class Proxy(NamedTuple):
    """The HTTP proxy that the environment names."""

    variable: str
    address: str  # without the user's name and password


class Targets(NamedTuple):
    """The target of a client, which names one server or several."""

    text: str  # one target, or those of a list with commas between them
    # HOST:PORT of each server of a list. There is none if gRPC reads the text itself.
    listed: tuple[str, ...] = ()
    # Returns such a list whenever it is called.
    function: Callable[[], Sequence[str]] | None = None

    @property
    def several(self) -> bool:
        """Whether gRPC may find more than one server."""
        if self.listed or self.function is not None:
            return True
        scheme, _, rest = self.text.partition(":")
        return scheme == "dns" or (scheme in ("ipv4", "ipv6") and "," in rest)

    @property
    def given(self) -> str | Sequence[str] | Callable[[], Sequence[str]]:
        """What targets() makes these of."""
        return self.function or self.listed or self.text


def targets(name: str, value: Any) -> Targets:
    """Returns what a client's target names: one address, a list of HOST:PORT, or a function.

    A list is a sequence of texts, or one text with commas. Raises TypeError or ValueError, which
    name `name`; among others for an empty list, and for a target that is given twice.
    """
    if callable(value):
        return Targets(name_of(value), function=value)
    if isinstance(value, str):
        if value.partition(":")[0] in _SCHEMES or "," not in value:
            return Targets(target(name, value))
        parts = [part.strip() for part in value.split(",")]
        if "" in parts:
            raise ValueError(f"{name}: {value!r} has an empty text in its list of servers")
        value = parts
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        raise TypeError(f"{name}: {value!r} is neither a string nor a list of strings")
    several = listed(name, value)
    return Targets(",".join(several), several)


def listed(name: str, value: Any) -> tuple[str, ...]:
    """Returns the servers of a sequence of HOST:PORT. Raises as targets() does."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise TypeError(f"{name}: {value!r} is not a list of strings")
    if len(value) == 0:
        raise ValueError(f"{name}: an empty list has no server; give HOST:PORT of each")
    seen: set[str] = set()
    for part in value:
        if part == "":
            raise ValueError(f"{name}: {value!r} has an empty text in its list of servers")
        if isinstance(part, str) and "," in part:
            raise ValueError(f"{name}: {part!r} is a list in a list; give HOST:PORT of each")
        one = target(name, part)
        if one.partition(":")[0] in _SCHEMES:
            raise ValueError(f"{name}: {one!r} in a list of servers; give HOST:PORT of each")
        if one.lower() in seen:
            raise ValueError(f"{name}: {one!r} is given twice")
        seen.add(one.lower())
    return tuple(value)


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name of a function for texts."""
    return f"{getattr(function, '__qualname__', None) or type(function).__qualname__}()"


def target(name: str, value: Any) -> str:
    """Returns a server's address as gRPC takes it: HOST:PORT, unix:/path or SCHEME:ADDRESS.

    Raises TypeError or ValueError, which name `name`; among others for a URL, for an IPv6
    address without brackets, and without a port, for which gRPC would take 443.
    """
    where = arguments.text(name, value)
    wanted = "give HOST:PORT or unix:/path"
    scheme, colon, rest = where.partition(":")
    if colon and scheme in _UNIX:
        if rest.strip("/") == "":
            raise ValueError(f"{name}: {where!r} has no path; {wanted}")
        return where
    if re.match("[A-Za-z][A-Za-z0-9+.-]*://", where) and scheme not in _SCHEMES:
        raise ValueError(f"{name}: {where!r} is a URL; {wanted}")
    if colon and scheme in _SCHEMES:
        if not re.search(":[0-9]+$", rest) and scheme != "xds":
            raise ValueError(f"{name}: {where!r} has no port; give {scheme}:HOST:PORT")
        if re.match("//[^/]*$", rest):
            raise ValueError(f"{name}: {where!r} has no host; give {scheme}:///HOST:PORT")
        return where
    if _is_ip(where) or (where.count(":") > 1 and "[" not in where):
        raise ValueError(
            f"{name}: {where!r} is an IPv6 address or has several colons; give [ADDRESS]:PORT"
            if ":" in where
            else f"{name}: {where!r} has no port; {wanted}"
        )
    match = _HOST_AND_PORT.fullmatch(where)
    if match is None or any(character.isspace() for character in where):
        raise ValueError(f"{name}: {where!r} {_what_is_wrong(where)}; {wanted}")
    if match[2].isdecimal() and not 0 < int(match[2]) < 1 << 16:
        raise ValueError(f"{name}: port {match[2]} of {where!r} is not from 1 to 65535")
    return where


def is_local(where: str) -> bool:
    """Returns whether every address of a target is a Unix socket or this host's loopback."""
    scheme, _, rest = where.partition(":")
    if scheme in _UNIX:
        return True
    addresses = (rest.strip("/") if scheme in _SCHEMES else where).split(",")
    return all(_is_loopback(address) for address in addresses)


def proxy() -> Proxy | None:
    """Returns the proxy that gRPC takes from the environment, or None if that names none."""
    for variable in _PROXIES:
        url = os.environ.get(variable)
        if url:
            return Proxy(variable, re.sub("(?<=://)[^/]*@", "", url))
    return None


def _what_is_wrong(where: str) -> str:
    port = where.partition(":")[2]
    if any(character.isspace() for character in where):
        return "has white space"
    if where.startswith(":"):
        return "has no host"
    if port == "" or where.startswith("["):
        return "has no port"
    return f"has the port {port!r}, which is no number"


def _is_loopback(address: str) -> bool:
    host = address.rsplit("/", 1)[-1].rpartition(":")[0].strip("[]")
    if host.lower() in ("localhost", "localhost."):
        return True
    return _is_ip(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
