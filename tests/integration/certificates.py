"""Authorities and certificates of tests, which hold for this machine and for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trueup.embedded.ports import LOOPBACK

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, signer: Pair | None = None) -> Pair:
    """A certificate for a name and for this machine; without a signer an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))])
        made = made.add_extension(names, critical=False)
    return made.sign(signer[1] if signer else key, hashes.SHA256()), key


def write_pair(directory: Path, name: str, pair: Pair) -> tuple[str, str]:
    crt, key = directory / f"{name}.crt", directory / f"{name}.key"
    crt.write_bytes(pair[0].public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(pair[1].private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return str(crt), str(key)
