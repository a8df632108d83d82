"""A real Slurm on loopback: two nodes, a cpu and a gpu partition, two fake GPUs a node.

`python -m tests.workflow.slurm_cluster start` leaves one running to play with, `stop` ends it.

Snakemake's Slurm plugin deletes every SLURM_* variable, so the configuration must lie where Slurm
looks by itself: links in /etc/slurm, which are taken away again. A machine that has a Slurm of its
own is left alone.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
ETC = Path("/etc/slurm")
CONFIGURATION = ("slurm.conf", "gres.conf", "cgroup.conf")
#: Both are this machine: a node is a slurmd with a port of its own.
NODES = ("n1", "n2")
#: Daemons in the order in which they start; each leaves its pid in a file of this name.
DAEMONS = ("munged", "slurmctld", *(f"slurmd-{node}" for node in NODES))
#: Of a node. More CPUs than the machine has (SlurmdParameters=config_overrides allows it).
CPUS, MEMORY_MB, GPUS = 16, 32_000, 2

#: What `scontrol show job` says of one.
Job = dict[str, str]


class NoCluster(Exception):
    """A cluster cannot be started here; the text says why."""


class SlurmCluster:
    """A controller and its nodes on one machine.

    Args:
        root: Folder for its state, keys and logs; a short path, since it holds a socket.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def start(self) -> None:
        """Install what is missing and start the daemons; returns when the nodes are ready.

        Raises:
            NoCluster: not root, no Debian packages, or a Slurm that is not ours.
            RuntimeError: a daemon does not start.
        """
        if os.geteuid():
            raise NoCluster("only root may start Slurm's daemons")
        self._stop_forgotten()
        if any((ETC / name).exists() for name in CONFIGURATION):
            raise NoCluster(f"{ETC} belongs to another Slurm, which is left alone")
        _install()
        self._configure()
        try:
            files = {"key-file": "munge.key", "socket": "munge.socket", "seed-file": "munge.seed"}
            files |= {"log-file": "munged.log", "pid-file": "munged.pid"}
            options = [f"--{option}={self.root / name}" for option, name in files.items()]
            self._daemon("munged", "munged", "--force", *options)
            self._daemon("slurmctld", "slurmctld", "-c")
            self.start_nodes()
        except BaseException:
            self.stop()
            raise

    def start_nodes(self) -> None:
        """Start every slurmd, also after `kill_nodes`."""
        for node in NODES:
            self._daemon(f"slurmd-{node}", "slurmd", "-N", node)
        _wait(self._are_ready, f"a node does not answer, see {self.root}/slurmd-*.log", 90)

    def _are_ready(self) -> bool:
        """Whether the nodes answer (else a state has a `*`); jobs may run on them again."""
        states = self.call("sinfo", "-h", "-N", "-o", "%t").split()
        return bool(states) and all(state in ("idle", "mix", "alloc") for state in states)

    def kill_nodes(self) -> None:
        """Kill -9 each slurmd and the processes of its jobs: nodes that lose their power."""
        files = [self._pid(f"slurmd-{node}") for node in NODES]
        steps = [p for p in psutil.process_iter(["name"]) if p.info["name"] == "slurmstepd"]
        victims = [child for step in steps for child in step.children(recursive=True)]
        nodes = [psutil.Process(int(file.read_text())) for file in files]
        for process in [*nodes, *steps, *victims]:
            _kill(process)
        for file in files:
            file.unlink()

    def stop(self) -> None:
        """End all jobs and daemons and take the links away; may be called twice."""
        if self._is_running("slurmctld"):
            self.call("scancel", "--user=root")
            time.sleep(1)
        for daemon in reversed(DAEMONS):
            if self._is_running(daemon):
                process = psutil.Process(int(self._pid(daemon).read_text()))
                process.send_signal(signal.SIGTERM)
                psutil.wait_procs([process], timeout=10, callback=None)
                _kill(process)
        for name in CONFIGURATION:
            link = ETC / name
            if link.is_symlink() and link.readlink().parent == self.root:
                link.unlink()

    def call(self, *command: str) -> str:
        """Output of one of Slurm's commands."""
        result = subprocess.run(command, text=True, capture_output=True, timeout=60)
        return result.stdout

    def jobs(self) -> list[Job]:
        """All jobs since the start, as `scontrol` shows them, the oldest first."""
        lines = self.call("scontrol", "--oneliner", "show", "jobs").splitlines()
        found = [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in lines
            if line.startswith("JobId=")
        ]
        return sorted(found, key=lambda job: int(job["JobId"]))

    def _stop_forgotten(self) -> None:
        """Stop a cluster of this kind whose test was killed."""
        conf = ETC / CONFIGURATION[0]
        if conf.is_symlink() and (root := conf.readlink().parent).name == self.root.name:
            SlurmCluster(root).stop()

    def _pid(self, daemon: str) -> Path:
        return self.root / f"{daemon}.pid"

    def _is_running(self, daemon: str) -> bool:
        file = self._pid(daemon)
        pid = file.read_text().strip() if file.exists() else ""
        return pid.isdigit() and psutil.pid_exists(int(pid))  # empty while it is being written

    def _daemon(self, daemon: str, name: str, *arguments: str) -> None:
        program = shutil.which(name) or f"/usr/sbin/{name}"
        result = subprocess.run([program, *arguments], text=True, capture_output=True, timeout=60)
        if result.returncode:
            raise RuntimeError(f"{name}: {result.stderr.strip() or result.stdout.strip()}")
        _wait(lambda: self._is_running(daemon), f"{daemon} did not start, see {self.root}")

    def _configure(self) -> None:
        self.root.mkdir(parents=True)
        # munge takes no folder that others may write to.
        self.root.chmod(0o755)
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for folder in ("state", *(f"spool-{node}" for node in NODES)):
            (self.root / folder).mkdir()
        gpus = [self.root / f"gpu{index}" for index in range(GPUS)]
        for gpu in gpus:
            gpu.touch()
        (self.root / "slurm.conf").write_text(self._slurm_conf())
        lines = ["AutoDetect=off", *(f"Name=gpu File={gpu}" for gpu in gpus)]
        (self.root / "gres.conf").write_text("\n".join(lines) + "\n")
        (self.root / "cgroup.conf").touch()
        ETC.mkdir(exist_ok=True)
        for name in CONFIGURATION:
            link = ETC / name
            link.unlink(missing_ok=True)  # one whose cluster is gone
            link.symlink_to(self.root / name)

    def _slurm_conf(self) -> str:
        controller, *ports = _free_ports(1 + len(NODES))
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": "localhost(127.0.0.1)",
            "SlurmctldPort": controller,
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.root}/munge.socket",
            "StateSaveLocation": self.root / "state",
            "SlurmdSpoolDir": self.root / "spool-%n",
            "SlurmctldPidFile": self._pid("slurmctld"),
            "SlurmdPidFile": self._pid("slurmd-%n"),
            "SlurmctldLogFile": self.root / "slurmctld.log",
            "SlurmdLogFile": self.root / "slurmd-%n.log",
            "MpiDefault": "none",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SwitchType": "switch/none",
            # What a job's memory is compared with, each second; there are no control groups.
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
            "AccountingStorageType": "accounting_storage/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "DefMemPerCPU": 500,
            "GresTypes": "gpu",
            "ReturnToService": 2,
            "SlurmdParameters": "config_overrides",
            "SlurmdTimeout": 10,
            "KillWait": 5,
            # Without accounting a job is known only as long as the controller remembers it.
            "MinJobAge": 3600,
            "SchedulerParameters": "batch_sched_delay=0,sched_interval=2,bf_interval=2",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        node = f"NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MB}"
        for name, port in zip(NODES, ports, strict=True):
            lines.append(f"NodeName={name} Port={port} {node} Gres=gpu:{GPUS}")
        for partition, default in (("cpu", "YES"), ("gpu", "NO")):
            lines.append(
                f"PartitionName={partition} Nodes={','.join(NODES)} Default={default} "
                "OverSubscribe=NO"
            )
        return "\n".join(lines) + "\n"


def _install() -> None:
    programs = ("munged", "slurmctld", "slurmd")
    if all(shutil.which(name) or Path("/usr/sbin", name).exists() for name in programs):
        return
    if shutil.which("apt-get") is None:
        raise NoCluster(f"no apt-get to install {', '.join(PACKAGES)} with")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        result = subprocess.run(
            ["apt-get", "-qq", *command], text=True, capture_output=True, env=environment
        )
        if result.returncode:
            raise NoCluster(f"apt-get {command[0]}: {result.stderr.strip()[-300:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(condition: Callable[[], bool], message: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(message)
        time.sleep(0.2)


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


if __name__ == "__main__":
    cluster = SlurmCluster(Path("/tmp/slurm-test/cluster"))
    if sys.argv[1:] == ["start"]:
        shutil.rmtree(cluster.root, ignore_errors=True)
        cluster.start()
        print(cluster.call("sinfo"), end="")
    elif sys.argv[1:] == ["stop"]:
        cluster.stop()
    else:
        sys.exit("start or stop?")
