"""``completions``: scripts that a shell takes."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_script_knows_the_commands(run: Run, shell: str) -> None:
    done = run("completions", shell)
    assert (done.status, done.err) == (0, "")
    for word in ("explain", "configure", "inject"):
        assert word in done.out


def test_bash_completes_with_it(run: Run) -> None:
    if not shutil.which("bash"):
        pytest.skip("no bash")
    script = run("completions", "bash").out
    ask = '\nCOMP_WORDS=(cdi-hook ex); COMP_CWORD=1; _shtab_cdi_hook; echo "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["explain"]


def test_files_are_completed_where_files_belong(run: Run) -> None:
    script = run("completions", "bash").out
    assert "_shtab_cdi_hook_inject_pos_0_COMPGEN=_shtab_compgen_files" in script
    assert "_shtab_cdi_hook_inject___spec_dir_COMPGEN=_shtab_compgen_dirs" in script


def test_another_shell(run: Run) -> None:
    assert run("completions", "fish").status == 2
