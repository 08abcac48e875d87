from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.render.command import INTERPRETERS, short_command

COMMANDS = {
    "/usr/sbin/nginx": "nginx",
    "/usr/sbin/sshd -D": "sshd",
    "ssh -N host": "ssh",
    "ssh host": "ssh host",
    "kubectl port-forward svc/web 8080": "kubectl port-forward",
    "-bash": "-bash",
    "/opt/dir/": "/opt/dir/",
    "java -Xmx1g -Da=b -jar /srv/shop.jar --port 80": "java -jar shop.jar",
    "/opt/jdk-21/bin/java -cp /a:/b org.example.Main x": "java org.example.Main",
    "java --module-path /m --module shop/org.example.Main": "java --module org.example.Main",
    "java --add-opens java.base/java.lang=ALL-UNNAMED org.example.Main": "java org.example.Main",
    "java": "java",
    "java -jar": "java -jar",
    "java -cp": "java",
    "python3 /srv/app/main.py --port 80": "python3 main.py",
    "/usr/bin/python3.11 -u -W ignore -m http.server 80": "python3.11 -m http.server",
    "python -Xdev -X utf8 main.py": "python main.py",
    "python3 /usr/bin/gunicorn app:main": "python3 gunicorn",
    "pypy3 main.py": "pypy3 main.py",
    "python3 -": "python3",
    "node --require ./setup.js /srv/server.js": "node server.js",
    "nodejs --inspect server.js": "nodejs server.js",
    "ruby -I lib bin/puma": "ruby puma",
    "perl -w /usr/bin/spamd": "perl spamd",
    "php -S 0.0.0.0:80": "php -S 0.0.0.0:80",
    "bash -e /srv/run.sh": "bash run.sh",
    "bash -o pipefail run.sh": "bash run.sh",
    "zsh": "zsh",
    "pythonic main": "pythonic main",
}


@pytest.mark.parametrize(("command", "text"), COMMANDS.items(), ids=COMMANDS)
def test_commands(command: str, text: str) -> None:
    assert short_command(tuple(command.split(" "))) == text


@pytest.mark.parametrize(
    ("command_line", "text"),
    [
        (("nginx: worker process",), "nginx: worker process"),
        (("postgres: app shop 10.0.0.1(4711) idle",), "postgres: app shop 10.0.0.1(4711) idle"),
        (("/opt/my program/run", "-x"), "run"),
        (("sh", "-c", "exec /srv/run --password x"), "sh -c"),
        (("bash", "-lc", "secret"), "bash -lc"),
        (("python3", "-c", "import secret"), "python3 -c"),
        (("perl", "-e", "secret"), "perl -e"),
        (("node", "-pe", "secret"), "node -pe"),
        (("",), ""),
    ],
)
def test_titles_and_code(command_line: tuple[str, ...], text: str) -> None:
    assert short_command(command_line) == text


@given(
    st.lists(
        st.text(max_size=5)
        | st.sampled_from([*INTERPRETERS, "-jar", "-m", "-c", "-cp", "/a/b", "-W"]),
        min_size=1,
        max_size=6,
    )
)
def test_a_command_is_made_of_the_arguments(command_line: list[str]) -> None:
    text = short_command(tuple(command_line))
    program = command_line[0].rpartition("/")[2] or command_line[0]
    assert text.startswith(program) or len(command_line) == 1
    assert len(text) <= sum(len(argument) + 1 for argument in command_line)
