"""One real server: started on a free loopback port, killed by its process, never left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.redis.binary import Binary
from tests.support.redis.certificate import Certificate
from tests.support.redis.guard import guard
from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.port import free_port, is_free

ONCE = Retry(NoBackoff(), 0)
"""For clients that should say at once what went wrong: newer ones retry for seconds by default."""

Options = Mapping[str, str | int]

QUICK: Options = {
    "bind": "127.0.0.1",
    "protected-mode": "no",
    "save": "",
    "appendonly": "no",
    "enable-debug-command": "yes",  # DEBUG SLEEP: a server that hangs
    "repl-diskless-sync-delay": 0,
    "repl-ping-replica-period": 1,
}
"""What a server for tests differs in: it keeps nothing, and replicas do not wait for each other."""


class _Commanding(Protocol):
    """The client's method that has no types of its own."""

    def execute_command(self, *words: str | int) -> Any: ...


ROLES = {"replicaof", "slaveof"}
"""Settings that say what a server is at present; failovers change them, CONFIG SET cannot."""


class Server:
    """A server process of its own, in a private folder, from `start` to `stop`.

    `kill`, `pause`, `resume` and `start` again are the faults of one host; the
    port stays the same throughout. What is on disk (options that ask for
    persistence) outlives `kill`, and `stop` removes it.

    Args:
        binary: which program.
        options: settings by their name in the configuration file, over `QUICK`.
        certificate: serve TLS on `tls_port`, beside the port without.
    """

    def __init__(
        self, binary: Binary, options: Options | None = None, *, certificate: Certificate | None = None
    ) -> None:
        self.binary = binary
        self.host = "127.0.0.1"
        self.port = free_port()
        # Not pytest's folder: a socket's whole path has to fit 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="server-"))
        self.socket = self.folder / "socket"
        self.certificate = certificate
        self.tls_port = free_port() if certificate else 0
        self.options: dict[str, str | int] = {**QUICK, **(options or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Redis | None = None
        self._settings: dict[str, str | None] | None = None

    def __repr__(self) -> str:
        state = f"process {self.pid}" if self.is_running else "not running"
        return f"<{self.binary.name} at {self.host}:{self.port}, {state}>"

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def socket_url(self) -> str:
        return f"unix://{self.socket}?db=0"

    @property
    def tls_url(self) -> str:
        """The address for TLS; a client that uses it names `certificate.path` as the authority."""
        if not self.tls_port:
            raise LookupError(f"{self!r} was started without a certificate")
        return f"rediss://localhost:{self.tls_port}/0"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LookupError(f"the server of port {self.port} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def client(self) -> Redis:
        """A blocking client of this server for a test's own questions; text, not bytes."""
        if self._client is None:
            password = self.options.get("requirepass")
            self._client = Redis(
                host=self.host,
                port=self.port,
                password=None if password is None else str(password),
                decode_responses=True,
                socket_timeout=PATIENCE_S,
                retry=ONCE,
            )
        return self._client

    def command(self) -> list[str]:
        """Return the command line of the process."""
        settings: dict[str, str | int] = {
            "port": self.port,
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            **self._tls_settings(),
            **self.options,
        }
        words = [str(self.binary.path)]
        for name, value in settings.items():
            words += [f"--{name}", *(str(value).split(" ") if value != "" else [""])]
        return words

    def start(self, *, loaded: bool = True, patience_s: float = PATIENCE_S) -> None:
        """Start the process and return once it answers PING.

        Args:
            loaded: also wait until it has loaded its data; without, LOADING is an answer, too.

        Raises:
            RuntimeError: the process ended; with its log.
            TimeoutError: it does not answer.
        """
        if self.is_running:
            raise RuntimeError(f"{self!r} runs already")
        # The last process' socket can outlive it by a moment.
        until(lambda: is_free(self.port), f"port {self.port} to be free", patience_s=patience_s)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # a Ctrl-C at the terminal is for the tests, which then kill it
            )
        guard().watch(self._process.pid)
        until(
            lambda: self.answers(loaded=loaded) or not self.is_running,
            f"the server of port {self.port} to answer",
            patience_s=patience_s,
        )
        if not self.is_running:
            raise RuntimeError(f"the server of port {self.port} did not start:\n{self.log()}")

    def answers(self, *, loaded: bool = False, timeout_s: float = 1) -> bool:
        """Return whether the server answers a PING now, be it with an error; `loaded`: but not LOADING."""
        try:
            with socket.create_connection((self.host, self.port), timeout_s) as connection:
                connection.sendall(b"PING\r\n")
                answer = connection.recv(100)
        except OSError:
            return False
        return answer != b"" and not (loaded and answer.startswith(b"-LOADING"))

    def kill(self) -> None:
        """End the process as a power cut would: SIGKILL. No effect on one that has ended."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            guard().forget(self._process.pid)
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop the process in its tracks (SIGSTOP): the kernel still accepts connections for it."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on; what was sent meanwhile is then executed."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill the process and start another on the same port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Kill the process and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *words: str | int) -> Any:
        """Send a command as words; return what the server answers."""
        client: _Commanding = self.client
        return client.execute_command(*words)

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    def log(self) -> str:
        """Return what the server has written to its log, over all restarts."""
        return self.log_path.read_text(errors="replace")

    def silence_of_master_s(self) -> int:
        """Return for how long a replica has heard nothing of its master, who speaks each second."""
        return int(self.client.info("replication")["master_last_io_seconds_ago"])

    def catch_up(self, master: Server) -> None:
        """Wait until this replica has all that its master was told so far, by whatever client.

        The server's own WAIT waits for what the same connection wrote, and for nothing else.
        """
        told = int(master.client.info("replication")["master_repl_offset"])
        until(
            lambda: int(self.client.info("replication").get("slave_repl_offset", 0)) >= told,
            f"{self!r} to have what {master!r} has",
        )

    def reset(self) -> None:
        """Empty the server: keys, functions, script cache; and all that `restore` does."""
        self.restore()
        client = self.client
        client.flushall()
        client.script_flush()
        self.ask("FUNCTION FLUSH")

    def restore(self) -> None:
        """Undo what tests have set: settings, paused and connected clients, statistics.

        The settings it returns to are those of the first call.
        """
        self.ask("CLIENT UNPAUSE")
        self.ask("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
        self.ask("CLIENT KILL", "TYPE", "pubsub")
        found = self.client.config_get("*")
        settings = {str(name): value for name, value in found.items() if name not in ROLES}
        if self._settings is None:
            self._settings = settings
        changed = [pair for pair in self._settings.items() if settings.get(pair[0]) != pair[1]]
        if changed:
            self.ask("CONFIG SET", *(str(word) for pair in changed for word in pair))
        self.ask("CONFIG RESETSTAT")

    def _tls_settings(self) -> dict[str, str | int]:
        if self.certificate is None:
            return {}
        return {
            "tls-port": self.tls_port,
            "tls-cert-file": str(self.certificate.path),
            "tls-key-file": str(self.certificate.key_path),
            "tls-ca-cert-file": str(self.certificate.path),
            "tls-auth-clients": "no",
        }
