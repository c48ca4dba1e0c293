"""Which addresses the service may ask for a picture: those that everybody on the internet reaches alike."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# 0.0.0.0/8 and the like are not global by Python's own list (RFC 6890); these are what else leads inside.
_INSIDE = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's own services, on a public address
            "192.0.0.0/24",  # assignments of protocols; Oracle's metadata service is among them
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "::/96",  # IPv4 within IPv6, as it was once written (RFC 4291, 2.5.5.1)
            "64:ff9b:1::/48",  # NAT64 of one's own network (RFC 8215)
            "fec0::/10",  # what was site-local (RFC 3879)
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an address, as a resolver writes it, leads to the open internet.

    Private, loopback, link-local (with the metadata services of clouds), shared, reserved and multicast addresses do
    not, nor does an IPv6 address that carries such an IPv4 one: mapped (::ffff:0:0/96), by NAT64 (64:ff9b::/96), 6to4
    (2002::/16), Teredo (2001::/32) or ISATAP (...:5efe:a.b.c.d).
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return all(map(_alone_public, (address, *_carried(address))))


def _alone_public(address: Address) -> bool:
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    inside = any(address in network for network in _INSIDE if network.version == address.version)
    return not inside and not address.is_multicast and (mapped or address.is_global)


def _carried(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if not isinstance(address, IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    last = int(address) & 0xFFFFFFFF
    interface = int(address) >> 32 & 0xFFFFFFFF
    if address in _NAT64 or interface & 0xFCFFFFFF == 0x00005EFE:
        yield IPv4Address(last)
