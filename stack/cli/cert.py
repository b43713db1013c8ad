"""`tunstack cert`: the certificate that the HTTPS ports show, and where it is kept."""

import argparse
from collections.abc import Sequence
from typing import Any

from stack.cli.options import DEFAULT_ADDRESSES
from stack.link.prefix import stack_address

EXAMPLES = """\
examples:
  tunstack cert                        what it is for, and until when
  tunstack cert --renew                a new one, with a new key
  curl --cacert "$(tunstack cert --path)" https://192.0.2.2/
"""


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "cert",
        help="show or renew the certificate of the HTTPS ports",
        description="Shows the self-signed certificate that `tunstack run` and `serve` make on "
        "first use and keep,\nwith its key, where only you can read them.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--renew", action="store_true", help="make a new one, with a new key")
    parser.add_argument("--path", action="store_true", help="print nothing but the file's name")
    parser.set_defaults(handler=_cert)


def _cert(args: argparse.Namespace) -> int:
    from cryptography.hazmat.primitives.hashes import SHA256

    from stack.http.certificate import kept_certificate, state_directory

    folder = state_directory()
    certificate = kept_certificate(folder, _names(), renew=args.renew)
    file = folder / "certificate.pem"
    if args.path:
        print(file)
        return 0
    parsed = certificate.parsed
    print(f"file         {file}")
    print(f"key          {folder / 'key.pem'} (mode 0600)")
    print(f"names        {', '.join(certificate.names)}")
    print(
        f"valid        {parsed.not_valid_before_utc:%Y-%m-%d} to {parsed.not_valid_after_utc:%Y-%m-%d}"
    )
    print(f"fingerprint  SHA-256 {parsed.fingerprint(SHA256()).hex(':')}")
    return 0


def _names() -> Sequence[str]:
    """What `run` and `serve` ask for with their default addresses."""
    return ["localhost", *(str(stack_address(text).ip) for text in DEFAULT_ADDRESSES)]
