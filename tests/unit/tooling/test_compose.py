"""`docker-compose.yml` names real commands, known settings and what it declares; only those who sign are given the master key."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from sqlalchemy import make_url

from custody_app.cli.program import program
from custody_app.config import load_settings
from custody_http.app import OPERATIONS

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "custody-core")
SECRETS = ROOT / "tools" / "compose-secrets.sh"


def parsed(words: list[str]) -> click.Context:
    """The command that `custody` would run. Raises `click.UsageError` for one, or an option, that it does not have."""
    command: click.Command = program
    context = click.Context(program, info_name="custody")
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, parent=context)
    return command.make_context(command.name, words)


def mounted(service: str) -> set[str]:
    """The volumes that it has; files of this folder are none."""
    named = (volume.partition(":")[0] for volume in SERVICES[service].get("volumes", ()))
    return {each for each in named if not each.startswith("./")}


def test_the_parts_of_the_service_are_there() -> None:
    assert {name: SERVICES[name]["command"] for name in ("migrate", "web", "scanner", "init")} == {
        "migrate": ["db", "upgrade"],
        "web": ["serve"],
        "scanner": ["scanner"],
        "init": ["init"],
    }


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_custody_has(name: str) -> None:
    assert parsed(list(SERVICES[name]["command"])).command.name == SERVICES[name]["command"][-1]
    assert 'ENTRYPOINT ["custody"]' in (ROOT / "Dockerfile").read_text("utf-8")


def test_a_command_that_does_not_exist_would_be_found() -> None:
    for words in (["serv"], ["serve", "--hots", "x"], ["db", "up"]):
        with pytest.raises(click.UsageError):
            parsed(words)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_known_setting_and_secrets_come_from_files(name: str, tmp_path: Path) -> None:
    given = dict(SERVICES[name]["environment"])
    assert all(isinstance(value, str) for value in given.values()), "an unquoted number or boolean is not what it looks like"
    for variable in [each for each in given if each.endswith("_FILE") and each != "CUSTODY_KEY_FILE"]:
        secret = given[variable].removeprefix("/run/secrets/")
        assert secret in SERVICES[name]["secrets"]
        given[variable] = str(tmp_path / secret)
        (tmp_path / secret).write_text("postgresql+psycopg://custody@postgres/custody")
    settings = load_settings(given)
    assert settings.database_url.startswith("postgresql+psycopg://")
    assert [chain.rpc_urls for chain in settings.chains] == [("http://chain:8545",)]


def test_only_who_signs_has_the_master_key() -> None:
    holders = {name for name in SERVICES if "keys" in mounted(name)}
    assert holders == {"init", "scanner"}
    assert {name for name in OURS if "CUSTODY_KEY_FILE" in SERVICES[name]["environment"]} == holders
    assert mounted("web") == set()


def test_nothing_of_ours_is_the_databases_superuser() -> None:
    postgres = SERVICES["postgres"]
    assert postgres["environment"]["POSTGRES_USER"] != "custody"
    (script,) = [volume for volume in postgres["volumes"] if "/docker-entrypoint-initdb.d/" in volume]
    path, target, rights = script.split(":")
    assert (Path(target).suffix, rights) == (".sh", "ro")
    assert stat.S_IMODE((ROOT / path).stat().st_mode) & 0o111, "the image sources a script that is not executable"
    assert "postgres_password" not in {secret for name in OURS for secret in SERVICES[name]["secrets"]}


def test_what_is_referred_to_is_declared() -> None:
    assert {volume for name in SERVICES for volume in mounted(name)} == set(COMPOSE["volumes"])
    assert {secret for service in SERVICES.values() for secret in service.get("secrets", ())} == set(COMPOSE["secrets"])
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[needed]


def test_nothing_is_reachable_from_other_machines() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_health_is_asked_where_the_web_process_answers_it() -> None:
    found = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", SERVICES["web"]["healthcheck"]["test"][-1])
    assert found
    assert found[1] == SERVICES["web"]["environment"]["CUSTODY_PORT"]
    assert found[2] in OPERATIONS


def test_the_image_has_what_the_service_needs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert "--require-hashes --only-binary :all: -r requirements/service.txt" in dockerfile
    locked = (ROOT / "requirements" / "service.txt").read_text("utf-8")
    assert all(f"\n{name}==" in locked for name in ("flask", "gunicorn", "psycopg", "prometheus-client"))


def test_secrets_are_made_once_and_agree(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    def run() -> str:
        return subprocess.run([SECRETS, folder], capture_output=True, text=True, check=True, timeout=30).stdout

    assert "made" in run()
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == set(COMPOSE["secrets"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    url = make_url(made["database_url"])
    assert (url.drivername, url.host) == ("postgresql+psycopg", "postgres")
    assert (url.username, url.database, url.password) == ("custody", "custody", made["custody_password"])
    for name in ("postgres_password", "custody_password"):
        assert re.fullmatch("[0-9a-f]{48}", made[name])
    assert made["postgres_password"] != made["custody_password"]
    assert "nothing was changed" in run()
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    assert "/secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
