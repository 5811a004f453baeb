"""Who will be able to reach a server: tokens, certificates, origins, and the words for it."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from test_serve import receive, serving
from test_serve_doors import TOKEN
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from voicecli.cli import app
from voicecli.cli.exposure import check_exposure, check_origins, read_token, tls_context
from voicecli.engine.server.house import Policy
from voicecli.errors import ConfigError

# ------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("there is no openssl that could make a certificate")
    return cert, key


def test_a_server_with_a_certificate_speaks_tls_also_for_secrets(
    certificate: tuple[Path, Path],
) -> None:
    cert, key = certificate
    policy = Policy(tls=tls_context(cert, key))
    trusting = ssl.create_default_context(cafile=str(cert))

    async def run() -> None:
        async with serving(policy=policy) as url:
            secure = url.replace("ws://", "wss://")
            async with connect(secure, ssl=trusting) as socket:
                assert (await receive(socket))["type"] == "session.created"
            port = int(url.split(":")[2].split("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            writer.write(
                b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            assert b"200 OK" in await reader.readline()
            writer.transport.abort()

    asyncio.run(run())


# --------------------------------------------------------------------------------- the command line


def test_a_token_comes_from_one_place_and_can_be_sent(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(None, None, None) is None
    assert read_token(TOKEN, None, None) == TOKEN
    assert read_token(None, "T", None, {"T": TOKEN}) == TOKEN
    assert read_token(None, None, file) == TOKEN
    for given in (
        (TOKEN, "T", None),
        (None, "MISSING", None),
        (None, None, tmp_path / "none"),
        ("", None, None),
        ("two words", None, None),
        ("ünïcode", None, None),
        ("ek_123", None, None),
    ):
        with pytest.raises(ConfigError) as wrong:
            read_token(*given, {"T": TOKEN})
        assert TOKEN not in wrong.value.message + wrong.value.hint


def test_another_address_needs_a_token_or_a_word_and_is_told_what_it_means() -> None:
    assert check_exposure("127.0.0.1", token=None, has_tls=False, insecure=False) == []
    with pytest.raises(ConfigError, match="reached from other machines"):
        check_exposure("0.0.0.0", token=None, has_tls=True, insecure=False)
    (told,) = check_exposure("0.0.0.0", token=None, has_tls=True, insecure=True)
    assert "anyone who can reach" in told
    assert check_exposure("0.0.0.0", token=TOKEN, has_tls=True, insecure=False) == []
    (told,) = check_exposure("0.0.0.0", token=TOKEN, has_tls=False, insecure=False)
    assert "the token" in told
    assert len(check_exposure("::", token="short", has_tls=False, insecure=False)) == 2


def test_origins_are_written_as_browsers_send_them() -> None:
    assert check_origins(["https://App.example/", "http://localhost:3000"]) == [
        "https://app.example",
        "http://localhost:3000",
    ]
    for wrong in ("*", "app.example", "https://app.example/path", "null", "http://["):
        with pytest.raises(ConfigError, match="origin"):
            check_origins([wrong])


def test_a_bad_certificate_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ConfigError, match="cannot use the certificate"):
        tls_context(empty, None)
    with pytest.raises(ConfigError, match="needs --tls-cert"):
        tls_context(None, empty)


def test_a_file_that_is_not_there_is_told_without_a_number(tmp_path: Path) -> None:
    there, gone = tmp_path / "there.pem", tmp_path / "gone.pem"
    there.write_text("")
    for files in ((gone, None), (there, gone)):
        with pytest.raises(ConfigError, match=r"there is no file '.*gone\.pem'"):
            tls_context(*files)
    with pytest.raises(ConfigError, match=r"there is no file '.*gone\.pem'"):
        read_token(None, None, gone)
    with pytest.raises(ConfigError, match="cannot read the token") as caught:
        read_token(None, None, tmp_path)
    assert "Errno" not in caught.value.message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (option, value)
        for option in ("--session-limit", "--grace")
        for value in ("nan", "inf", "-inf", "-1", "1e300", "soon")
    ]
    + [(option, "0") for option in ("--max-sessions", "--threads")]
    + [(option, "1000000000000") for option in ("--max-sessions", "--threads", "--port")],
)
def test_numbers_that_mean_nothing_are_refused_before_anything_begins(
    option: str, value: str
) -> None:
    told = CliRunner().invoke(app, ["serve", "--voices", f"{option}={value}"])
    assert told.exit_code == 2
    assert option in told.output
