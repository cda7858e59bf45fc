"""Passwords: one that changes is followed, and none is seen where a connection fails."""

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from tests.databases import end
from tests.faults.conftest import QUICK
from tests.faults.servers import OwnServer, own_server
from tests.frames import shown
from tests.unusable import (
    Answer,
    fake,
    free_port,
    hang_up,
    refuse,
    say_nothing,
    speak_garbage,
    url_of,
)

from faceplate import CannotConnect, Database, FaceplateError, Scope, Settings, Unavailable, migrate
from faceplate._driver.connecting import open_connection
from faceplate._operations import doctor
from faceplate.services import tasks, users

SECRET = f"hunter2-{secrets.token_hex(4)}"
BRIEF: dict[str, Any] = {
    "startup_timeout_s": 0.3,
    "connect_timeout_s": 0.3,
    "reconnect_timeout_s": 0.3,
    "retry_delay_s": 0,
}


class Login:
    """A login whose password changes, and the functions that an application asks for it."""

    def __init__(self, operator: "asyncpg.Connection[Any]", role: str, port: int) -> None:
        self._operator = operator
        self._role = role
        self.password = ""
        self.url = f"postgresql://{role}@127.0.0.1:{port}/faceplate"

    async def rotate(self) -> None:
        self.password = f"{SECRET}-{secrets.token_hex(4)}"
        await self._operator.execute(f"ALTER ROLE {self._role} PASSWORD '{self.password}'")

    async def end(self, pid: int) -> None:
        await end(self._operator, pid)

    def plain(self) -> str:
        return self.password

    async def asynchronous(self) -> str:
        await asyncio.sleep(0)
        return self.password

    def promised(self) -> Awaitable[str]:
        return self.asynchronous()

    def of_a_vault(self, token: str) -> str:
        assert token == SECRET
        return self.password


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """A server that asks for passwords."""
    on_tcp = {"listen_addresses": "127.0.0.1", "port": str(free_port())}
    with own_server("CREATE ROLE stranger LOGIN", **on_tcp, **QUICK) as server:
        yield server


@pytest.fixture
async def operator(server: OwnServer) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(server.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def login(operator: "asyncpg.Connection[Any]") -> Login:
    port = await operator.fetchval("SHOW port")
    login = Login(operator, "faceplate", int(port))
    await login.rotate()
    return login


async def backend(scope: Scope) -> int:
    pid: int = await scope.session.scalar(text("SELECT pg_backend_pid()"))
    return pid


async def test_a_password_that_changes_is_asked_for_before_each_connection(login: Login) -> None:
    """Else a program whose password lives for minutes, as IAM's do, ends with the pool's first."""
    vault = partial(login.of_a_vault, SECRET)
    for function in (login.plain, login.asynchronous, login.promised, vault):
        settings = Settings(
            database_url=login.url.replace("@", ":an-old-one@"),
            password=function,
            pool_size=1,
            retry_delay_s=0,
        )
        async with Database(settings) as db:
            user = await db.run_system(users.ensure, secrets.token_hex(8))
            pid = await db.run(user.id, backend)
            await login.rotate()
            assert await db.run(user.id, backend) == pid  # an open connection needs none
            await login.end(pid)
            assert (await db.run(user.id, tasks.create, title="kept")).title == "kept"


async def test_a_password_file_is_read_before_each_connection(login: Login, tmp_path: Path) -> None:
    """Else a mounted secret that is renewed reaches no program before it is started again."""
    file = tmp_path / "pgpass"

    async def rotate() -> None:
        await login.rotate()
        file.write_text(f"127.0.0.1:*:*:faceplate:{login.password}\n")
        file.chmod(0o600)

    await rotate()
    settings = Settings(database_url=f"{login.url}?passfile={file}", pool_size=1, retry_delay_s=0)
    async with Database(settings) as db:
        user = await db.run_system(users.ensure, secrets.token_hex(8))
        pid = await db.run(user.id, backend)
        await rotate()
        await login.end(pid)
        assert (await db.run(user.id, tasks.create, title="kept")).title == "kept"


async def test_whatever_connects_asks_for_the_password(login: Login) -> None:
    """Else a migration, a check or a look at the outcome of a COMMIT fails where units do not."""
    asked = 0

    def function() -> str:
        nonlocal asked
        asked += 1
        return login.password

    async def asks(work: Awaitable[Any]) -> Any:
        before = asked
        result = await work
        assert asked > before
        return result

    settings = Settings(database_url=login.url, password=function)
    await asks(migrate.upgrade(settings))
    assert await asks(migrate.current(settings)) == migrate.head()
    assert await asks(migrate.check(settings)) == []
    assert (await asks(doctor.diagnose(settings)))[0].check == "reachable"
    (await asks(open_connection(settings))).terminate()
    async with Database(settings) as db:
        assert (await asks(db.check())).reachable


async def test_each_login_has_its_own_password(
    login: Login, operator: "asyncpg.Connection[Any]"
) -> None:
    """Else the owner's login is tried with the password of the one that owns nothing."""
    port = int(await operator.fetchval("SHOW port"))
    stranger = Login(operator, "stranger", port)
    await stranger.rotate()
    settings = Settings(
        database_url=stranger.url,
        password=stranger.asynchronous,
        owner_url=login.url,
        owner_password=login.plain,
    )
    for of_role, role in (
        (settings, "stranger"),
        (settings.of_owner, "faceplate"),
        (settings.of_migrations, "faceplate"),
    ):
        connection = await open_connection(of_role)
        assert await connection.fetchval("SELECT session_user") == role
        connection.terminate()
    await migrate.upgrade(settings)
    direct = login.url.replace("@", f":{login.password}@")
    with_own = Settings(database_url=stranger.url, password=stranger.plain, migration_url=direct)
    await migrate.upgrade(with_own)


def _fail() -> str:
    raise KeyError(SECRET)


async def _fail_later() -> str:
    await asyncio.sleep(0)
    raise RuntimeError(SECRET)


async def _hang() -> str:
    token = SECRET
    await asyncio.Event().wait()
    return token


def _block(released: threading.Event) -> str:
    token = SECRET
    released.wait()
    return token


async def test_a_password_function_that_fails_is_named_and_shows_nothing(
    login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a token is in the log, or a program hangs for as long as its vault does."""
    caplog.set_level(logging.DEBUG)
    released = threading.Event()
    unusable: list[tuple[Any, str]] = [
        (_fail, "the password function raised KeyError"),
        (_fail_later, "the password function raised RuntimeError"),
        (_hang, "no answer from the password function within 0.3 s"),
        (partial(_block, released), "no answer from the password function within 0.3 s"),
        (lambda: None, "the password function returned NoneType, not text"),
        (SECRET.encode, "the password function returned bytes, not text"),
        (partial(next, iter(())), "the password function raised RuntimeError"),
        (lambda: f"{SECRET}\udcff", "is not valid UTF-8 text"),
    ]
    for function, words in unusable:
        settings = Settings(database_url=login.url, password=function, **BRIEF)
        with pytest.raises(Unavailable, match=words) as failure:
            async with Database(settings):
                pass
        assert SECRET not in shown(failure.value)
    released.set()
    assert SECRET not in caplog.text


async def test_a_password_that_is_no_utf8_is_not_quoted(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own error holds the whole text that it could not encode."""
    odd = f"{SECRET}\udcff"
    with pytest.raises(CannotConnect, match="is not valid UTF-8 text") as failure:
        await enter(Settings(database_url=login.url, password=odd, **BRIEF))
    assert SECRET not in shown(failure.value)
    monkeypatch.setenv("PGPASSWORD", odd)
    for attempt in (enter, migrate.upgrade, migrate.check):
        with pytest.raises(CannotConnect, match="is not valid UTF-8 text") as failure:
            await attempt(Settings(database_url=login.url, **BRIEF))
        assert SECRET not in shown(failure.value)


async def test_a_password_may_be_of_a_subclass_of_text(login: Login) -> None:
    """Else a library that marks its secrets so is refused: the driver takes str itself alone."""

    class Token(str):
        __slots__ = ()

    settings = Settings(database_url=login.url, password=lambda: Token(login.password))
    await enter(settings)


@pytest.mark.parametrize(("name", "state"), [("wrong password", "28P01"), ("no database", "3D000")])
async def test_a_migration_says_that_it_never_will_connect(
    login: Login, name: str, state: str
) -> None:
    """A lost connection is worth another try, and these are not."""
    async with unusable(name, login) as url:
        for attempt in (migrate.upgrade, migrate.current, migrate.check, migrate.unseal_user_ids):
            with pytest.raises(CannotConnect) as failure:
                await attempt(Settings(database_url=url, **BRIEF))
            assert failure.value.sqlstate == state


async def test_a_password_function_that_fails_once_is_asked_again(login: Login) -> None:
    """Else a vault that restarts takes every program with it."""
    asked = 0

    def function() -> str:
        nonlocal asked
        asked += 1
        if asked % 2:
            raise ConnectionError("the vault starts")
        return login.password

    settings = Settings(database_url=login.url, password=function, pool_size=1, retry_delay_s=0)
    async with Database(settings) as db:
        await db.run_system(users.ensure, secrets.token_hex(8))


@asynccontextmanager
async def unusable(name: str, login: Login) -> AsyncIterator[str]:
    """A URL with a password whose connections fail in the way that ``name`` says."""
    answers: dict[str, Answer] = {
        "silent": say_nothing,
        "hangs up": hang_up,
        "garbage": speak_garbage,
        "starting": partial(refuse, state="57P03", words="the database system is starting up"),
    }
    if name in answers:
        async with fake(answers[name]) as port:
            yield url_of(port, password=SECRET)
    elif name == "refused":
        yield url_of(free_port(), password=SECRET)
    elif name == "unknown host":
        yield url_of(5432, password=SECRET, host="nowhere.invalid")
    else:
        database = "nowhere" if name == "no database" else "faceplate"
        password = login.password if name == "no database" else f"{SECRET}-wrong"
        yield login.url.replace("@", f":{password}@").removesuffix("faceplate") + database


async def enter(settings: Settings) -> None:
    async with Database(settings):
        pass


async def enter_by_url(settings: Settings) -> None:
    async with Database(settings.dsn):
        pass


async def in_a_hurry(settings: Settings) -> None:
    async with asyncio.timeout(0.05):
        await enter(settings)


@pytest.mark.parametrize(
    "name",
    [
        *("refused", "silent", "hangs up", "garbage", "starting", "unknown host"),
        *("wrong password", "no database"),
    ],
)
async def test_a_connection_that_fails_shows_no_password(
    login: Login, name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an error tracker, which collects the locals of frames, is sent the password."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FACEPLATE_STARTUP_TIMEOUT_S", "0.3")  # for what is given a URL alone
    attempts: list[Callable[[Settings], Awaitable[object]]] = [
        *(enter, enter_by_url, in_a_hurry, migrate.upgrade, migrate.current, migrate.check),
        open_connection,
    ]
    async with unusable(name, login) as url:
        settings = Settings(database_url=url, **BRIEF)
        for attempt in attempts:
            with pytest.raises((FaceplateError, OSError, asyncpg.PostgresError)) as failure:
                await attempt(settings)
            assert SECRET not in shown(failure.value), attempt
        assert SECRET not in str(await doctor.diagnose(settings))
    assert SECRET not in caplog.text


async def test_a_unit_that_gets_no_connection_shows_no_password(
    login: Login, operator: "asyncpg.Connection[Any]"
) -> None:
    """Else what was hidden at the start is shown by the first outage."""
    settings = Settings(database_url=login.url.replace("@", f":{login.password}@"), **BRIEF)
    async with Database(settings) as db:
        user = await db.run_system(users.ensure, secrets.token_hex(8))
        pid = await db.run(user.id, backend)
        await login.rotate()
        await end(operator, pid)
        with pytest.raises(Unavailable) as failure:
            await db.run(user.id, backend)
        assert SECRET not in shown(failure.value)


async def test_a_caller_that_is_cancelled_while_it_connects_shows_no_password() -> None:
    """Else the cancellation carries the driver's frames to the caller of the task."""
    connected = asyncio.Event()

    async def let_know(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await say_nothing(reader, writer)

    async with fake(let_know) as port:
        task = asyncio.create_task(enter(Settings(database_url=url_of(port, password=SECRET))))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
    assert SECRET not in shown(cancelled.value)
