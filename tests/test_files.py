"""A save replaces the old file whole, or leaves it as it was."""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import stat

import pytest
from helpers import output_of, run_python
from saved import POSIX, SAVED, assert_same, small_dataset, small_model

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset
from lightfm_clone.persistence import files


class FailingFile(io.BufferedWriter):
    """Fails at the n-th write, half of which has been done."""

    left = 0

    def write(self, content):
        if type(self).left == 0:
            super().write(bytes(content)[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        type(self).left -= 1
        return super().write(content)


def fail_write(monkeypatch, n: int) -> None:
    def failing_open(path, mode, **options):
        assert mode == "xb"
        FailingFile.left = n
        return FailingFile(builtins.open(path, mode, buffering=0, **options))

    monkeypatch.setattr(files, "open", failing_open, raising=False)


def fail_call(monkeypatch, name: str, error: BaseException) -> None:
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, name, fail)


FAILURES = {
    **{f"write {n}": lambda patch, n=n: fail_write(patch, n) for n in (0, 1, 2, 5)},
    "fsync": lambda patch: fail_call(patch, "fsync", OSError(errno.EIO, "broken disk")),
    "replace": lambda patch: fail_call(patch, "replace", PermissionError(errno.EPERM, "in use")),
    "chmod": lambda patch: fail_call(patch, "chmod", PermissionError(errno.EPERM, "no")),
    "interrupt": lambda patch: fail_call(patch, "fsync", KeyboardInterrupt()),
}


@pytest.mark.parametrize(
    ("kind", "exists", "failure"),
    [
        (kind, exists, failure)
        for kind, exists in (("model", True), ("dataset", False))
        for failure in FAILURES
        if exists or failure != "chmod"  # a new file has the mode it was made with
    ],
)
def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch, kind, failure, exists):
    thing = SAVED[kind][0]()
    if exists:
        path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        FAILURES[failure](patch)
        with pytest.raises((OSError, KeyboardInterrupt)):
            thing.save(path)
    assert os.listdir(path.parent) == (["saved"] if exists else [])
    if exists:
        assert path.read_bytes() == b"old"
    thing.save(path)
    assert_same(thing, type(thing).load(path))
    assert os.listdir(path.parent) == ["saved"]


def test_content_is_on_the_disk_before_it_has_the_name(path, monkeypatch):
    """The order is write, sync of the file, rename, sync of the folder."""
    done = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        status = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)
        fsync(descriptor)

    def note_replace(source, target):
        done.append((os.path.dirname(source), target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    small_model().save(path)
    folder = str(path.parent)
    expected = [path.stat().st_size, (folder, str(path))]
    assert done == expected + ["folder"] * (os.name == "posix")


@POSIX
def test_a_folder_that_cannot_be_synced_is_no_failure(path, monkeypatch):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    small_model().save(path)
    assert_same(small_model(), LightFM.load(path))


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_that_dies_leaves_the_old_file(path, moment):
    small_model().save(path)
    code = f"""
import os, sys
from lightfm_clone import LightFM
model = LightFM.load(sys.argv[1])
model.k = 77
os.{moment} = lambda *_: os._exit(9)
model.save(sys.argv[1])
"""
    assert run_python("-c", code, path).returncode == 9
    assert_same(small_model(), LightFM.load(path))


def test_exactly_the_path_that_was_given(tmp_path):
    class Place:
        def __fspath__(self):
            return str(tmp_path / "c.npz")

    os.mkdir(tmp_path / "ä b")
    for place, name in (
        (str(tmp_path / "a"), "a"),
        (tmp_path / "b.tar.gz", "b.tar.gz"),
        (Place(), "c.npz"),
        (tmp_path / "ä b" / "ü", "ä b/ü"),
        (tmp_path / ("n" * 255), "n" * 255),
    ):
        for thing in (small_model(), small_dataset()):
            thing.save(place)
            assert_same(thing, type(thing).load(place))
            assert (tmp_path / name).is_file()
    assert sorted(os.listdir(tmp_path)) == ["a", "b.tar.gz", "c.npz", "n" * 255, "ä b"]


def test_a_path_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model().save("model")
    assert os.listdir() == ["model"] and type(LightFM.load("model")) is LightFM


@pytest.mark.parametrize("thing", [LightFM(), Dataset()], ids=["model", "dataset"])
def test_paths_that_cannot_be_written(tmp_path, thing):
    for folder in (tmp_path, f"{tmp_path}{os.sep}", f"{tmp_path / 'new'}{os.sep}"):
        with pytest.raises(IsADirectoryError, match=re.escape(tmp_path.name)):
            thing.save(folder)
    with pytest.raises(FileNotFoundError, match="temporary file in the folder.*nowhere"):
        thing.save(tmp_path / "nowhere" / "file")
    for wrong in (3, None):
        with pytest.raises(TypeError, match="path must be a string or an os.PathLike"):
            thing.save(wrong)
    with pytest.raises(ValueError, match="null"):
        thing.save("a\0b")
    assert os.listdir(tmp_path) == []


@POSIX
def test_folders_and_files_one_may_not_write(tmp_path_factory):
    """In a process without the rights of root, if that is who runs the tests."""
    folder = tmp_path_factory.mktemp("mine")
    folder.chmod(0o755)
    (folder / "readonly").mkdir()
    (folder / "writable").mkdir()
    for name in ("readonly", "writable"):
        (folder / name / "old").write_bytes(b"old")
        (folder / name / "old").chmod(0o444)
    (folder / "readonly").chmod(0o555)
    (folder / "writable").chmod(0o777)
    code = """
import os, sys
os.chdir(sys.argv[1])
from lightfm_clone import LightFM
thing = LightFM()
if os.geteuid() == 0:
    os.setuid(65534)
for name in ("readonly/new", "readonly/old", "writable/old"):
    try:
        thing.save(name)
    except PermissionError as error:
        print(error)
thing.save("writable/new")
"""
    said = output_of(code, folder, cwd=folder).splitlines()
    assert len(said) == 3 and "readonly" in said[0]
    assert os.listdir(folder / "readonly") == ["old"]
    assert sorted(os.listdir(folder / "writable")) == ["new", "old"]
    for name in ("readonly", "writable"):
        assert (folder / name / "old").read_bytes() == b"old"


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_mode_of_a_new_file_is_that_of_open(tmp_path, umask):
    before = os.umask(umask)
    try:
        small_model().save(tmp_path / "saved")
        (tmp_path / "opened").write_bytes(b"")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("saved", "opened")]
    assert modes[0] == modes[1] == 0o666 & ~umask


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_mode_of_an_old_file_is_kept(path, monkeypatch, mode):
    path.write_bytes(b"old")
    path.chmod(mode)
    while_written = []
    fsync = os.fsync

    def note(descriptor):
        while_written.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    small_model().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert while_written[0] & ~mode == 0  # nobody may read it on the way who may not in the end


@POSIX
def test_links_are_followed(tmp_path):
    (tmp_path / "releases").mkdir()
    link = tmp_path / "current"
    link.symlink_to("releases/1")
    for seed in (1, 2):  # leading nowhere, then to a file
        model = small_model(random_state=seed)
        model.save(link)
        assert link.is_symlink() and not (tmp_path / "releases" / "1").is_symlink()
        assert_same(model, LightFM.load(link))
    assert os.listdir(tmp_path / "releases") == ["1"]
