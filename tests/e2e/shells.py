"""Completes command lines in real shells, by the keys that a person would press."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
LONGEST_ANSWER = 60.0  # seconds, after which a shell hangs

# This stands for the program whose line is completed. It prints its arguments, and then a mark.
PROGRAM = "#!/bin/sh\nprintf '<<%s>>\\n' \"$@\"\necho '<<>>'\n"
MARK = b"<<>>\r\n"

# The keys ESC * and Ctrl-X A insert every completion into the line.
INSERT_ALL = {"bash": "\x1b*", "zsh": "\x18a"}
START_FILES = {"bash": "bashrc", "zsh": ".zshrc"}
BASH_START = """\
PS1=
bind 'set enable-bracketed-paste off'
bind 'set bell-style none'
"""
ZSH_START = """\
PS1=
unset zle_bracketed_paste
unsetopt beep prompt_sp
bindkey -e
fpath=($PWD/functions $fpath)
autoload -Uz compinit && compinit -D -u
zle -C all-matches complete-word _generic
bindkey '^Xa' all-matches
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
"""
COMMANDS = {
    "bash": ("bash", "--noprofile", "--rcfile", "bashrc", "-i"),
    "zsh": ("zsh", "-d", "-i"),
}


def is_installed(shell: str) -> bool:
    return shutil.which(shell) is not None


class Shell:
    """A shell in the folder, where `program` is completed by `script`.

    With `autoload`, zsh finds the script by its name in $fpath; else it is sourced.
    """

    def __init__(
        self, name: str, folder: Path, program: str, script: str, *, autoload: bool = False
    ) -> None:
        self._name = name
        self._folder = folder
        stub = folder / program
        stub.write_text(PROGRAM, encoding="utf-8")
        stub.chmod(0o755)
        (folder / "script").write_text(script, encoding="utf-8")
        if autoload:
            (folder / "functions").mkdir()
            (folder / "functions" / f"_{program}").write_text(script, encoding="utf-8")
        if name != "fish":
            start = BASH_START if name == "bash" else ZSH_START
            source = "" if autoload else "source ./script\n"
            (folder / START_FILES[name]).write_text(start + source, encoding="utf-8")

    def complete(self, line: str) -> set[str]:
        """Returns what the shell offers for the end of the line.

        Of --flag=VALUE these are the values, and a flag stands without its equals sign.
        """
        words = shlex.split(line)
        typed = "" if line.endswith(" ") else words.pop()
        if self._name == "fish":
            offered = self._fish(line)
        else:
            offered = self.press(line + INSERT_ALL[self._name] + "\n")[len(words) - 1 :]
        lead = typed[: typed.rfind("=") + 1]
        if lead:
            values = {word.removeprefix(lead).rstrip("/") for word in offered}
            return values - {typed.removeprefix(lead)}
        return {word.rstrip("=/") for word in offered} - {typed}

    def press(self, keys: str) -> list[str]:
        """Types into the shell and returns the arguments with which the program was started."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self._folder)
            os.execvpe(COMMANDS[self._name][0], COMMANDS[self._name], self._environment())
        seen = b""
        try:
            os.write(terminal, keys.encode())
            while MARK not in seen:
                ready, _, _ = select.select([terminal], [], [], LONGEST_ANSWER)
                assert ready, seen
                seen += os.read(terminal, 4096)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(terminal)
        lines = seen[: seen.index(MARK)].decode().split("\r\n")
        return [line[2:-2] for line in lines if line.startswith("<<")]

    def _fish(self, line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", "source ./script; complete -C $argv[1]", line],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=LONGEST_ANSWER,
            check=True,
        )
        assert done.stderr == ""
        return [offered.split("\t")[0] for offered in done.stdout.splitlines()]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._folder}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "ZDOTDIR": str(self._folder),
            "INPUTRC": "/dev/null",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
