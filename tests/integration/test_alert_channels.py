"""Channels over real sockets: servers that are busy, broken, slow, endless, elsewhere or not who they say they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dashboards.alerts.channels import webhook
from dashboards.alerts.channels.exchange import Answer, Outcome, Post
from dashboards.alerts.courier import Way, deliver
from dashboards.alerts.declared import DeclaredTargets
from dashboards.alerts.message import body_of_notice, message_of
from dashboards.alerts.secret import ChannelSecrets
from dashboards.alerts.transport import ANSWER_BYTES_MAX, HttpSender
from tests.alert_books import CHANNEL, HEAD, NOW_US, ROUTE, SECOND_US, alerts_of, notice
from tests.alert_servers import (
    HANGS_SECONDS,
    Certified,
    FarEnd,
    MailServer,
    certified,
    drip,
    drip_headers,
    far_end,
    flood,
    hang,
    reply,
)

pytestmark = pytest.mark.integration

NAME = "alerts.example.com"
MESSAGE = message_of(body_of_notice("raised", "all", notice()), "en", "https://trueup.example.com")


@pytest.fixture
def server() -> Iterator[FarEnd]:
    with far_end() as one:
        yield one


def targets_of(*ports: int) -> DeclaredTargets:
    hosts = [f"{host}:{port}" for host in ("127.0.0.1", NAME) for port in ports]
    return DeclaredTargets.model_validate({"hosts": hosts, "allow_private": ["127.0.0.1"]})


def send(port: int, path: str = "/hook", *others: int, seconds_max: float = 60) -> Answer | Outcome:
    post = webhook.post_of(f"http://127.0.0.1:{port}{path}", "s3cret", MESSAGE, "k", NOW_US)
    return HttpSender(targets_of(port, *others), total_seconds_max=seconds_max).send(post)


def test_a_message_arrives_signed(server: FarEnd) -> None:
    answer = send(server.port)
    (got,) = server.got
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, b"ok")
    assert got.headers["host"] == f"127.0.0.1:{server.port}"
    signed = webhook.signature("s3cret", got.headers["trueup-timestamp"], got.body)
    assert got.headers["trueup-signature"] == f"v1={signed}"


def test_a_busy_server_says_how_long_to_wait(server: FarEnd) -> None:
    server.behave = reply(429, b"slow down", Retry_After="7")
    answer = send(server.port)
    assert isinstance(answer, Answer)
    outcome = webhook.outcome_of(answer, NOW_US)
    assert (outcome.state, outcome.retry_after_us) == ("again", 7 * SECOND_US)


@pytest.mark.parametrize("behave", [hang, drip, drip_headers])
def test_a_slow_server_is_not_waited_for(server: FarEnd, behave: Callable[..., None]) -> None:
    server.behave = behave
    began = time.monotonic()
    outcome = send(server.port, seconds_max=0.6)
    assert time.monotonic() - began < HANGS_SECONDS / 2
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.reason) == ("again", "no answer within 0.6 s")


def test_an_endless_answer_is_cut_off(server: FarEnd) -> None:
    server.behave = flood
    answer = send(server.port)
    assert isinstance(answer, Answer)
    assert len(answer.body) == ANSWER_BYTES_MAX


def test_redirects_are_not_followed(server: FarEnd) -> None:
    with far_end() as elsewhere:
        server.behave = reply(307, b"", Location=f"http://127.0.0.1:{elsewhere.port}/")
        answer = send(server.port, "/hook", elsewhere.port)
        assert elsewhere.got == []
    assert isinstance(answer, Answer)
    assert webhook.outcome_of(answer, NOW_US).state == "refused"


def test_proxies_of_the_environment_are_not_used(server: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    with far_end() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert isinstance(send(server.port), Answer)
        assert (len(server.got), proxy.got) == (1, [])


def test_nobody_listens(server: FarEnd) -> None:
    server.close()
    outcome = send(server.port, "/secret-path")
    assert isinstance(outcome, Outcome)
    assert outcome.state == "again"
    assert "secret-path" not in outcome.reason


def over_tls(tmp_path: Path, certificate_name: str) -> tuple[Answer | Outcome, FarEnd]:
    """A request to the name, whose server has a certificate for another or the same name; it leads to 127.0.0.1."""
    tls = certified(tmp_path, certificate_name)
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    with far_end(tls.server) as server:
        sender = HttpSender(targets_of(server.port), resolve=resolve, tls=tls.client, total_seconds_max=3)
        outcome = sender.send(Post(f"https://{NAME}:{server.port}/hook", {}, b"{}"))
        assert asked == [NAME]
        return outcome, server


def test_the_checked_address_is_reached_under_the_servers_own_name(tmp_path: Path) -> None:
    answer, server = over_tls(tmp_path, NAME)
    assert isinstance(answer, Answer)
    assert server.got[0].headers["host"] == f"{NAME}:{server.port}"


def test_a_server_that_proves_another_name_gets_nothing(tmp_path: Path) -> None:
    outcome, server = over_tls(tmp_path, "other.example.com")
    assert isinstance(outcome, Outcome)
    assert outcome.state == "again"
    assert server.got == []


@pytest.fixture
def tls(tmp_path: Path) -> Certified:
    return certified(tmp_path, "mail.example.com")


def mail(server: MailServer, tls: Certified, **fields: Any) -> Outcome:
    declared = {"security": "starttls", "user": "trueup", **fields}
    password = 'password_env = "MAIL_PASSWORD"\n' if declared["user"] else ""
    text = (
        HEAD.replace('"127.0.0.1"]\nallow', f'"mail.example.com:{server.port}"]\nallow')
        + '[[channel]]\nname = "mail"\nkind = "email"\nhost = "mail.example.com"\nsender = "trueup@example.com"\n'
        + f'to = ["ops@example.com"]\nport = {server.port}\nsecurity = "{declared["security"]}"\n'
        + f'user = "{declared["user"]}"\n{password}'
        + CHANNEL
        + ROUTE
    )
    alerts = alerts_of(text)
    way = Way(HttpSender(alerts.targets), lambda _host, _port: [fields.get("address", "127.0.0.1")], tls.client)
    secrets = ChannelSecrets(SecretStr(""), SecretStr("pass-word"))
    return deliver(alerts, alerts.channels[0], secrets, way, MESSAGE, "k", NOW_US)


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_mail_arrives(tls: Certified, security: str) -> None:
    server = MailServer(tls.server, from_the_start=security == "tls")
    outcome = mail(server, tls, security=security, user="" if security == "none" else "trueup")
    server.close()
    assert outcome == Outcome("arrived")
    assert server.encrypted == [security != "none"]
    (taken,) = [message_from_bytes(mail, policy=default) for mail in server.mails]
    assert taken["Subject"] == MESSAGE.title
    assert any(command.startswith("AUTH") for command in server.commands) is (security != "none")


@pytest.mark.parametrize(
    ("verb", "said", "state"),
    [("AUTH", "535 no", "refused"), ("MAIL", "451 later", "again"), ("RCPT", "550 unknown", "refused"),
     ("RCPT", "450 busy", "again"), ("DATA", "554 no", "refused"), ("STARTTLS", "454 not now", "again")],
)  # fmt: skip
def test_what_a_mail_server_says(tls: Certified, verb: str, said: str, state: str) -> None:
    server = MailServer(tls.server)
    server.answers[verb] = said
    outcome = mail(server, tls)
    server.close()
    assert outcome.state == state
    assert said.partition(" ")[2] in outcome.reason
    assert "pass-word" not in outcome.reason
    assert server.mails == []


def test_a_mail_that_was_taken_is_not_sent_again(tls: Certified) -> None:
    server = MailServer(tls.server)
    server.answers["QUIT"] = "421 gone"
    assert mail(server, tls).state == "arrived"
    server.close()
    assert len(server.mails) == 1


def test_no_password_goes_over_a_connection_that_cannot_be_encrypted(tls: Certified) -> None:
    server = MailServer(tls.server)
    server.answers["EHLO"] = "250 mail"
    outcome = mail(server, tls)
    server.close()
    assert outcome.state == "refused"
    assert not any(command.startswith("AUTH") for command in server.commands)


def test_a_mail_server_inside_is_refused_unless_it_is_listed(tls: Certified) -> None:
    server = MailServer(tls.server)
    outcome = mail(server, tls, address="10.0.0.1")
    server.close()
    assert outcome.state == "refused"
    assert "not a public address" in outcome.reason
