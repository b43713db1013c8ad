"""A self-signed certificate for a server that nobody vouches for (RFC 5280)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stack.errors import UsageError

# Clients refuse server certificates that live longer than 825 days; the day before covers
# clocks that differ.
LIFETIME = timedelta(days=820)
SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, both PEM."""

    chain: bytes
    key: bytes

    @property
    def parsed(self) -> x509.Certificate:
        """The certificate as a value of the cryptography package."""
        return x509.load_pem_x509_certificate(self.chain)

    @property
    def names(self) -> list[str]:
        """The host names and addresses that it is for, in lower case."""
        try:
            extension = self.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return []
        return [str(name.value).lower() for name in extension.value]

    def covers(self, names: Iterable[str]) -> bool:
        """Whether it is valid for every one of `names` for another day."""
        certificate = self.parsed
        soon = datetime.now(UTC) + SKEW
        if not certificate.not_valid_before_utc <= soon <= certificate.not_valid_after_utc:
            return False
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return set(map(_general_name, names)) <= set(extension.value)


def make_certificate(names: Iterable[str], *, client: bool = False) -> Certificate:
    """A new self-signed certificate for host names and addresses, in memory only.

    It is for a server, or for a `client` to show to one.
    """
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    names = tuple(names)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tunstack")])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    return Certificate(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def state_directory() -> Path:
    """Where the user's certificate is kept (XDG Base Directory: state)."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "tunstack"


def kept_certificate(
    directory: str | os.PathLike[str], names: Iterable[str], *, renew: bool = False
) -> Certificate:
    """The certificate kept in `directory`, made anew when it is missing, old or for others.

    With `renew` it is made anew in any case. The files are `certificate.pem` and `key.pem`, mode 0600. Raises UsageError when the
    directory cannot be used.
    """
    names = tuple(names)
    folder = Path(directory)
    try:
        found = Certificate(
            (folder / "certificate.pem").read_bytes(), (folder / "key.pem").read_bytes()
        )
        if not renew and found.covers(names):
            return found
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        pass
    except OSError as error:
        raise UsageError(f"cannot read the certificate in {folder}: {error.strerror}") from None
    made = make_certificate(names)
    _keep(folder, made)
    return made


def _keep(folder: Path, certificate: Certificate) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(folder / "key.pem", certificate.key)
        _write_private(folder / "certificate.pem", certificate.chain)
    except OSError as error:
        raise UsageError(
            f"cannot keep a certificate in {folder}: {error.strerror}; choose a directory that "
            "you may write to"
        ) from None


def _write_private(path: Path, content: bytes) -> None:
    """Replaces the file in one step; at no time can anybody else read it."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.rename(path)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
