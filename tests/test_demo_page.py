"""`aio demo`: the page restores as `aio.restore` does, keeps to itself, names what it cannot use, and cleans up."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import aio
from aio.demo import main
from aio.errors import InputError
from aio.images import read_photo
from aio.inference.settings import Settings
from aio.page.words import NAMES, duration, message
from aio.page.work import look_at, restore_upload, told_degradations
from aio.vocabulary import DEGRADATIONS, SCALES
from tiny_nets import build

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the page is made by gradio")


@pytest.fixture(scope="module")
def net_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny"
    build("lora_restormer_full").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """A JPEG on its side, with a maker, drawn."""
    rows, columns = np.mgrid[:64, :96]
    pixels = np.stack([rows * 3, columns * 2, 128 + 100 * np.sin(rows / 5) * np.cos(columns / 7)], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    path = tmp_path_factory.mktemp("photos") / "Grüße <b>1.jpg"
    Image.fromarray(pixels).save(path, exif=exif, quality=92)
    return path


@contextmanager
def serving(net_folder: Path, log: Path, scratch: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a page in a process of its own, which does not outlive the block."""
    words = ["demo", "--checkpoint", str(net_folder), "--port", "0", "--device", "cpu", "--max_megapixels", "0.01"]
    scratch.mkdir()
    command = [sys.executable, "-m", "aio", *words]
    environment = dict(os.environ, TMPDIR=str(scratch))
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()  # ends with the process, if that fails
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found, said + log.read_text()
        yield found[0], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def page(net_folder, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    with serving(net_folder, folder / "log.txt", folder / "scratch") as (address, _):
        yield address


def fetched(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def uploaded(page: str, photo: Path, data: bytes | None = None) -> dict[str, Any]:
    """The file in the page's folder, as the browser sends it."""
    body = b"".join(
        [
            b'--aio\r\nContent-Disposition: form-data; name="files"; filename="',
            photo.name.encode(),
            b'"\r\nContent-Type: application/octet-stream\r\n\r\n',
            photo.read_bytes() if data is None else data,
            b"\r\n--aio--\r\n",
        ]
    )
    form = {"Content-Type": "multipart/form-data; boundary=aio"}
    request = urllib.request.Request(f"{page}gradio_api/upload", body, form)
    with urllib.request.urlopen(request, timeout=60) as answer:
        [path] = json.load(answer)
    return {"path": path, "orig_name": photo.name, "meta": {"_type": "gradio.FileData"}}


def restored(page: str, file: dict[str, Any], *choices: Any) -> list[Any]:
    """What the page shows after a click on Restore: status, picture, slider, download, button."""
    call = f"{page}gradio_api/call/restore"
    body = json.dumps({"data": [file, *(choices or ("auto", 100, "auto", False))]}).encode()
    request = urllib.request.Request(call, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        number = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{call}/{number}", timeout=120) as answer:
        events = answer.read().decode()
    found = re.search(r"^event: complete\ndata: (.*)$", events, re.MULTILINE)
    assert found, events
    return json.loads(found[1])


@needs_gradio
def test_the_page_restores_as_the_function_does(page, net_folder, photo, tmp_path):
    status, _, slider, download, _ = restored(page, uploaded(page, photo), "derain", 60, "none", False)
    assert "Restored in" in status
    [name] = re.findall(r"[^/]+\.jpg$", download["value"]["path"])
    assert name.endswith("_restored.jpg")
    code, _, body = fetched(download["value"]["url"])
    (tmp_path / name).write_bytes(body)
    aio.restore(photo, net_folder, "derain", strength=0.6, tile="none", output=tmp_path / "expected.jpg")
    assert code == 200
    assert body == (tmp_path / "expected.jpg").read_bytes()
    with Image.open(tmp_path / name) as picture:
        assert picture.size == (64, 96)
        assert (picture.getexif()[0x010F], picture.getexif()[0x0112]) == ("maker", 1)
    assert len(slider["value"]) == 2


@needs_gradio
def test_what_cannot_be_restored_is_named_without_paths(page, photo, tmp_path):
    status, *_, button = restored(page, uploaded(page, photo, photo.read_bytes()[:300]))
    assert 'role="alert"' in status
    assert ">Grüße b1.jpg: expected an image, but it cannot be read" in status  # gradio takes the brackets away
    assert "/tmp" not in status
    assert button["interactive"] is False
    large = tmp_path / "large.png"
    Image.new("L", (400, 300)).save(large)
    assert "0.1 megapixels, but this page takes at most 0.0" in restored(page, uploaded(page, large))[0]


@needs_gradio
def test_uploads_are_limited(page, photo):
    with pytest.raises(urllib.error.HTTPError) as refused:
        uploaded(page, photo, bytes(100_000))
    with refused.value:
        assert refused.value.code == 413


@needs_gradio
def test_the_page_keeps_to_itself(page):
    code, headers, body = fetched(page)
    assert code == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    asked = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=[\"']?(https?://[^\"' >]+)", body.decode())
    assert [address for address in asked if not address.startswith(page)] == []
    assert fetched(page, Host="elsewhere.example")[0] == 400
    for secret in ("/etc/passwd", str(Path(__file__).resolve())):
        assert fetched(f"{page}gradio_api/file={secret}")[0] == 403


@needs_gradio
@pytest.mark.slow
def test_a_stopped_page_leaves_nothing(net_folder, photo, tmp_path):
    with serving(net_folder, tmp_path / "log.txt", tmp_path / "scratch") as (address, process):
        file = uploaded(address, photo)
        assert Path(file["path"]).is_relative_to(tmp_path / "scratch")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert list((tmp_path / "scratch").iterdir()) == []
    assert (tmp_path / "log.txt").read_text() == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "99999"], "--port 99999: .*choose another, or 0"),  # no checkpoint is needed
        (["--checkpoint", "none.ckpt", "--max_megapixels", "0"], "--max_megapixels 0: expected"),
        (["--checkpoint", "none.ckpt", "--max_megapixels", "nan"], "--max_megapixels nan: expected"),
        (["--checkpoint", "none.ckpt", "--port", "99999"], "--port 99999: .*choose another, or 0"),
        (["--checkpoint", "none.ckpt", "--port", "0"], r"none\.ckpt: no such file"),
        (["--checkpoint", "restormer", "--port", "0"], "restormer: no such file"),  # a preset alone has no weights
    ],
)
@needs_gradio
def test_bad_options_are_named(words, said):
    with pytest.raises(InputError, match=said):
        main(words)


def test_a_taken_port_is_named(net_folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: .*in use; choose another"):
            main(["--checkpoint", str(net_folder), "--port", str(port)])


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("aio.demo.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'aio\[demo\]'"):
        main(["--checkpoint", "none.ckpt"])


def test_pictures_for_the_screen_have_one_size(tmp_path):
    source = tmp_path / "deep.tif"
    Image.fromarray((np.arange(3300 * 40) % 65536).astype(np.uint16).reshape(40, 3300)).save(source)
    look = look_at(source, tmp_path, 1_000_000)
    assert (look.height, look.width, look.format, look.bits) == (40, 3300, "TIFF", 16)
    told: list[tuple[int, int]] = []
    done = restore_upload(
        build("davit_sr"),
        source,
        tmp_path,
        Settings(tile=128),
        max_pixels=1_000_000,
        progress=lambda done, total: told.append((done, total)),
    )
    with Image.open(done.before) as before, Image.open(done.after) as after:
        assert before.size == after.size == (1100, 14)
    assert read_photo(done.file).pixels.shape == (80, 6600, 1)
    assert told[-1][0] == told[-1][1] == len(told)


def test_every_degradation_has_words():
    assert set(NAMES) == set(DEGRADATIONS) - set(SCALES)
    assert told_degradations(build("restormer")) == []
    assert "derain" in told_degradations(build("lora_restormer_full"))
    assert told_degradations(build("lora_restormer_base")) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (9.94, "9.9 s"), (12.4, "12 s"), (185, "3 min 05 s"), (59.7, "60 s")]
)
def test_durations_are_read_easily(seconds, words):
    assert duration(seconds) == words


def test_messages_name_the_file_alone():
    photo = Path("/tmp/aio/1/a.jpg")
    assert message(InputError(f"{photo}: is empty"), photo) == "a.jpg: is empty"


@contextmanager
def browsing(width: int, downloads: Path) -> Iterator[Any]:
    """Chromium without a window, which does not outlive the block."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "window-size=1280,900"):
        options.add_argument(f"--{word}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(CHROMEDRIVER))
    try:
        metrics = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield driver
    finally:
        driver.quit()


def hosts(driver: Any) -> set[str]:
    """The machines of which the browser asked something."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    asked = (e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent")
    return {host for host in (urlsplit(address).hostname for address in asked) if host}


@needs_gradio
@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="Chromium and its driver are not installed")
@pytest.mark.skipif(find_spec("selenium") is None, reason="selenium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(page, net_folder, photo, tmp_path, width):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    with browsing(width, tmp_path / "downloads") as driver:
        wait = WebDriverWait(driver, 90)

        def one(selector: str) -> Any:
            return wait.until(lambda _: driver.find_elements(By.CSS_SELECTOR, selector))[0]

        def give(path: Path, said: str) -> None:
            one("#photo input[type=file]").send_keys(str(path))
            wait.until(lambda _: said in one("#status").text)

        driver.get(page)
        give(tmp_path / "bad.jpg", "bad.jpg: expected an image, but it cannot be read")
        assert not one("#start").is_enabled()
        one("#photo button[aria-label='Clear']").click()
        wait.until(lambda _: "appear here" in one("#status").text)
        give(photo, "64 × 96 pixels, JPEG, 8 bit")
        wait.until(lambda _: one("#start").is_enabled())
        one("#start").click()
        wait.until(lambda _: "Restored in" in one("#status").text)
        shown = "return [...document.querySelectorAll('#slider img')].map(i => [i.naturalWidth, i.naturalHeight])"
        wait.until(lambda _: driver.execute_script(shown) == [[64, 96], [64, 96]])
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        one("#download").click()
        [downloaded] = wait.until(lambda _: list(tmp_path.glob("downloads/*.jpg")))
        assert hosts(driver) == {"127.0.0.1"}
    assert downloaded.name.endswith("_restored.jpg")
    aio.restore(photo, net_folder, output=tmp_path / "expected.jpg")
    assert np.array_equal(read_photo(downloaded).pixels, read_photo(tmp_path / "expected.jpg").pixels)
