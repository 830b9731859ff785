"""The builder of the documentation's site: `python .ci/pages.py OUT`. A dead link fails it.

Pages stay where they are and read well in a checkout. For the site they are laid together in a folder of
their own: README is the first page, and files that pages lead to lie beside them, each folder with a page.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
CONFIGURATION = ROOT / "zensical.toml"
THEME = ROOT / ".ci" / "theme"
LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
BESIDE = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "tests/README.md")
FENCES = {
    ".py": "python",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".service": "ini",
    ".md": "markdown",
}


def link(text: str, page: Path, pages: Path) -> str:
    """Return a page with its links as they are on the site.

    Args:
        text: the page.
        page: where it is in the checkout.
        pages: where it will be on the site, relative to its root.
    """

    def place(found: re.Match[str]) -> str:
        target = (page.parent / found[1]).resolve()
        if not target.is_relative_to(ROOT):
            return found[0]
        there = site_path(target)
        up = "../" * len(pages.parent.parts)
        return f"]({up}{there}{found[2] or ''})"

    return LINK.sub(place, text)


def site_path(path: Path) -> str:
    """Return where a file of the checkout is on the site."""
    inside = path.relative_to(ROOT)
    if inside == Path("README.md"):
        return "index.md"
    if path.is_dir():
        return f"{inside.as_posix().removeprefix('docs/')}/index.md"
    if inside.parts[0] == "examples" and (path.suffix != ".md" or path.name == "README.md"):
        # A folder's page shows its files.
        return f"{inside.parent.as_posix()}/index.md"
    return inside.as_posix().removeprefix("docs/")


def listing(folder: Path) -> str:
    """Return a page that shows a folder's files."""
    name = folder.relative_to(ROOT).as_posix()
    parts = [f"# {name}\n"]
    folders = (each for each in sorted(folder.iterdir()) if each.is_dir() and each.name != "__pycache__")
    parts += [f"- [{each.name}]({each.name}/index.md)" for each in folders]
    for file in sorted(each for each in folder.iterdir() if each.is_file() and each.name != "README.md"):
        language = FENCES.get(file.suffix, "text")
        parts.append(f"\n## {file.name}\n\n````{language}\n{file.read_text('utf-8').rstrip()}\n````")
    return "\n".join(parts) + "\n"


def lay(out: Path) -> None:
    """Lay all pages together."""
    for source in sorted((ROOT / "docs").rglob("*.*")):
        target = out / source.relative_to(ROOT / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(link(source.read_text("utf-8"), source, target.relative_to(out)), "utf-8")
        else:
            shutil.copy(source, target)
    for name in ("README.md", *BESIDE):
        text = (ROOT / name).read_text("utf-8")
        target = out / ("index.md" if name == "README.md" else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(link(text, ROOT / name, target.relative_to(out)), "utf-8")
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    titles = [f"- [{each.read_text('utf-8').partition(chr(10))[0][2:]}]({each.name})" for each in decisions]
    (out / "decisions" / "index.md").write_text("# Decisions\n\n" + "\n".join(titles) + "\n", "utf-8")
    for folder in [ROOT / "examples", *(each for each in (ROOT / "examples").rglob("*") if each.is_dir())]:
        if folder.name == "__pycache__":
            continue
        target = out / folder.relative_to(ROOT) / "index.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        text = listing(folder)
        if (folder / "README.md").exists():
            text = (
                link((folder / "README.md").read_text("utf-8"), folder / "README.md", target.relative_to(out))
                + text
            )
        target.write_text(text, "utf-8")


def configuration() -> str:
    """Return the site's configuration, with the version that the pages are of in its name."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return CONFIGURATION.read_text("utf-8").replace('"kinlimit"', f'"kinlimit {version}"', 1)


def dead_anchors(site: Path) -> list[str]:
    """Return the links to places that their page has not; the builder looks for pages alone."""
    text_of = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    ids = {path.resolve(): set(re.findall(r'\bid="?([^"\s>]+)', text)) for path, text in text_of.items()}
    dead = []
    for path, text in text_of.items():
        for target, anchor in re.findall(r'\bhref="?([^"\s>#:]*)#([^"\s>]+)', text):
            there = (path.parent / target).resolve() if target else path.resolve()
            there = there / "index.html" if there.is_dir() else there
            if anchor not in ids.get(there, {anchor}):
                dead.append(f"{path.relative_to(site)}: {target}#{anchor}")
    return sorted(set(dead))


def main(out: Path) -> int:
    """Build; return 0 if nothing was warned of and every link leads somewhere."""
    with tempfile.TemporaryDirectory(prefix="kinlimit-site-") as folder:
        work = Path(folder)
        lay(work / "docs")
        shutil.copytree(THEME, work / THEME.name)
        (work / CONFIGURATION.name).write_text(configuration(), "utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout, end="")
        dead = dead_anchors(work / "site") if done.returncode == 0 else []
        print("".join(f"no such place: {each}\n" for each in dead), end="")
        if done.returncode == 0 and not dead:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(work / "site", out)
        return done.returncode or bool(dead)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
