"""Build the sdist, and from it the wheel; check that both are complete and the wheel runs."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEEL_EXTRAS = (".data/data/share/man/man1/netinspect.1", ".dist-info/licenses/LICENSE")


def files_below(top: Path, folder: str = ".") -> set[str]:
    """The files below a folder of top, as names relative to top."""
    return {
        path.relative_to(top).as_posix()
        for path in (top / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build(target: str, source: Path, into: Path) -> Path:
    """Build one target and return the one file that this leaves in the folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"building the {target} failed:\n{done.stdout}{done.stderr}")
    (built,) = into.iterdir()
    return built


def require(what: str, missing: set[str]) -> None:
    """End the program if something is missing."""
    if missing:
        sys.exit(f"the {what} lacks {', '.join(sorted(missing))}")


def main() -> None:
    """Check both packages."""
    package = files_below(ROOT, "netinspect")
    require("package", {"netinspect/py.typed"} - package)
    with tempfile.TemporaryDirectory(prefix="netinspect-") as name:
        temporary = Path(name)

        sdist = build("sdist", ROOT, temporary / "sdist")
        shutil.unpack_archive(sdist, temporary / "source")
        (source,) = (temporary / "source").iterdir()
        wanted = package | files_below(ROOT, "tests") | files_below(ROOT, "man")
        require("sdist", {file for file in wanted if not (source / file).is_file()})

        wheel = build("wheel", source, temporary / "wheel")
        installed = temporary / "installed"
        shutil.unpack_archive(wheel, installed, "zip")
        names = files_below(installed)
        require("wheel", package - names)
        require("wheel", {end for end in WHEEL_EXTRAS if not any(n.endswith(end) for n in names)})
        tops = {name.partition("/")[0] for name in names}
        strangers = {top for top in tops if not top.startswith("netinspect")}
        if strangers:
            sys.exit(f"the wheel has more than netinspect: {', '.join(sorted(strangers))}")

        command = [sys.executable, "-m", "netinspect", "--version"]
        subprocess.run(command, cwd=installed, check=True, stdout=subprocess.DEVNULL)
    print(f"{sdist.name}, {wheel.name}: complete, {len(package)} files in the package")


if __name__ == "__main__":
    main()
