"""The bento as a container would run it: root file system read-only, no root, no capabilities, the manifest's mounts.

A mount namespace of its own stands for the container; it takes root to make one, so elsewhere this is skipped.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.k8s.rendering import find, render
from tests.service.conftest import free_port, wait_until_ready
from tests.service.test_bento import bento
from tests.small_artifact import synthetic_png

__all__ = ["bento"]

_CONTAINER = """
set -eu
chmod -R a+rX "$BENTO" "$MODEL"  # as the layers of an image are
mount --make-rprivate /
mount --bind "$BENTO" /mnt
mount --bind "$MODEL" /srv
mount --bind "$INTERPRETER" /media
mount -t tmpfs -o mode=755 tmpfs /root  # whose home may hide the interpreter from others
mkdir -p "$INTERPRETER"
mount --bind /media "$INTERPRETER"
for place in $WRITABLE; do mount -t tmpfs -o mode=1777,size=64m tmpfs "$place"; done
mount -o remount,bind,ro /
for place in /mnt /srv /media /root "$INTERPRETER"; do mount -o remount,bind,ro "$place"; done
cd /mnt/src
exec setpriv --reuid "$USER_ID" --regid "$GROUP_ID" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  sh -c 'for place in / /mnt/src /mnt/src/service /srv /var/tmp; do
           if touch "$place/written" 2>/dev/null; then echo "$place can be written to"; exit 9; fi
         done
         exec "$@"' sh "$@"
"""


_PYTHON = Path(sys.prefix).resolve() / "bin" / "python"


def _cannot_contain() -> str:
    if os.geteuid() != 0:
        return "it takes root to make a mount namespace"
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return "there is no unshare or setpriv"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "mount namespaces are not allowed here"
    if _PYTHON.is_relative_to("/tmp"):
        return "this Python lies where the container has its own /tmp"
    return ""


@pytest.mark.slow
@pytest.mark.skipif(bool(_cannot_contain()), reason=_cannot_contain())
def test_the_bento_serves_without_root_from_a_read_only_file_system(
    bento: Path, small_artifact: Path, tmp_path: Path
) -> None:
    pod = find(render("base/service"), "Deployment", "samx-service")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    scratch = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in scratch]
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    given |= {
        "BENTO": str(bento),
        "MODEL": str(small_artifact),
        "INTERPRETER": sys.base_prefix,
        "SAMX_ARTIFACT": "/srv",
        "SAMX_API_KEYS_FILE": "",
        "WRITABLE": " ".join(writable),
        "USER_ID": str(pod["securityContext"]["runAsUser"]),
        "GROUP_ID": str(pod["securityContext"]["runAsGroup"]),
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
    }
    port = free_port()
    command = [word if word != "python" else str(_PYTHON) for word in container["command"]]
    words = [*command, *(str(port) if word == "3000" else word for word in container["args"])]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _CONTAINER, "sh", *words],
            env=given,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        answer = httpx.post(f"{url}/classify", content=synthetic_png(3), trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{given['USER_ID']}\t{given['USER_ID']}" in status
        assert "CapEff:\t0000000000000000" in status
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
