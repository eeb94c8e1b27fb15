"""What is seen of a machine while a speed is measured."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from semask.devices import conditions, sensors
from semask.devices.conditions import Watch
from semask.devices.disturbances import disturbances

FOREVER = "while True: pass"
# a run on one core that keeps it busy itself, by a process that it has started
RUN = f"""
import json, os, subprocess, sys, time
import psutil
os.sched_setaffinity(0, {{int(sys.argv[1])}})
from semask.devices.conditions import Watch
own = subprocess.Popen([sys.executable, "-c", {FOREVER!r}])
try:
    with Watch("cpu", 1, "here") as watch:
        watch.begin()
        time.sleep(0.2)
        begun = sum(psutil.Process(own.pid).cpu_times()[:2])
        time.sleep(2)
        took = sum(psutil.Process(own.pid).cpu_times()[:2]) - begun
finally:
    own.kill()
print(json.dumps([watch.summary(), took]))
"""


def test_a_busy_process_on_the_same_cores_is_told() -> None:
    core = psutil.Process().cpu_affinity()[0]
    other = subprocess.Popen([sys.executable, "-c", FOREVER])
    try:
        psutil.Process(other.pid).cpu_affinity([core])
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(core)],
            stdout=subprocess.PIPE, encoding="utf-8", timeout=60, check=True,
        )  # fmt: skip
    finally:
        other.kill()
        other.wait()
    seen, took = json.loads(done.stdout)
    mean = seen["others"]["mean"]
    # what the run took itself is not among it
    assert 0.1 < mean < 1.03 - took / seen["seconds"]
    assert mean <= seen["others"]["most"] <= 1
    assert (seen["cores"], seen["host"], seen["devices"]) == (1, "here", [])
    # processor time of one look, of the time until the next: whatever else runs meanwhile
    assert seen["cost"] * seen["seconds"] / seen["samples"] / conditions._PAUSE < 0.005
    assert disturbances([seen], "cpu")[0] == (
        f"other programs took {100 * mean:.0f} % of its cores' time"
    )


class Board:
    """NVML of one GPU, as nvidia-ml-py has it; what is None is not supported."""

    class NVMLError(Exception):
        pass

    def __init__(self, reasons: int | None = 0, limit: int = 700_000, mig: int = 0):
        self.processes = [SimpleNamespace(pid=4242)]
        self.told: dict[str, Any] = {
            "ClockInfo": 1410,
            "Temperature": 84,
            "PowerUsage": 695_500,
            "EccMode": [1, 1],
            "TotalEccErrors": 2,
            "MigMode": [mig, 0],
            "EnforcedPowerLimit": limit,
            "PowerManagementDefaultLimit": 700_000,
            "CurrentClocksEventReasons": None,
            "CurrentClocksThrottleReasons": reasons,
            "ComputeRunningProcesses": self.processes,
        }

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("nvmlDeviceGetHandle"):
            return lambda uuid: uuid
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        told = self.told[name.removeprefix("nvmlDeviceGet")]

        def answer(*of: object) -> Any:
            assert of[0] == "GPU-1-2"
            if told is None:
                raise self.NVMLError("Not Supported")
            return told

        return answer


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid="1-2")
    )

    def put(board: Any) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", board)

    return put


def watched(device: str) -> dict[str, Any]:
    with Watch(device, 1, "here") as watch:
        watch.begin()
    found = watch.summary()
    assert found is not None
    return {**found, "others": None, "throttled": None}  # whatever this machine does meanwhile


@pytest.mark.parametrize(
    ("board", "told"),
    [
        (Board(0x40 | 0x4), "gpu 0 was throttled at 100 % of the looks "
         "(power cap, hardware thermal slowdown)"),
        (Board(0x4, limit=350_000), "gpu 0 was throttled at 100 % of the looks "
         "(power cap, power limit below the default)"),
        # at full load, waiting, at clocks that somebody has chosen; nothing is said of it
        (Board(0x4), None), (Board(0x1), None), (Board(0x2), None), (Board(None), None),
    ],
)  # fmt: skip
def test_throttling_of_a_gpu_is_told(boards: Any, board: Board, told: str | None) -> None:
    boards(board)
    seen = watched("gpu")
    assert disturbances([seen], "gpu") == ([told] if told else [])
    [of] = seen["devices"]
    assert ("gpu 0: throttling is not told" in seen["not_observed"]) == (of["throttled"] is None)
    assert of["figures"]["power_w"] == {"least": 695.5, "median": 695.5, "most": 695.5}
    assert of["figures"]["temperature_c"]["most"] == 84
    assert (of["settings"]["ecc"], of["settings"]["ecc_uncorrected"]) == (True, 2)
    assert of["throttled"] == (None if board.told["CurrentClocksThrottleReasons"] is None
                               else float(bool(told)))  # fmt: skip


def test_nvml_has_the_names_that_it_is_asked_for() -> None:
    nvml = pytest.importorskip("pynvml")
    names = [*Board().told, "HandleByUUID", "DeviceHandleFromMigDeviceHandle"]
    assert [name for name in names if not hasattr(nvml, f"nvmlDeviceGet{name}")] == []
    assert issubclass(nvml.NVMLError, Exception)
    assert (nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM, nvml.NVML_TEMPERATURE_GPU) == (1, 2, 0)
    assert (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC) == (1, 0)
    throttling = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
    bits = sum(getattr(nvml, f"nvmlClocksThrottleReason{name}") for name in throttling)
    assert bits == sensors._THROTTLING
    assert nvml.nvmlClocksThrottleReasonSwPowerCap == sensors._POWER_CAP


def test_other_processes_on_a_gpu_are_told(boards: Any) -> None:
    own = frozenset({4242})
    board = Board()
    boards(board)
    look = sensors.opened("gpu", 1)
    assert look(own)[0].others == 0
    board.processes.append(SimpleNamespace(pid=17))
    assert look(own)[0].others == 1
    # a container's numbers are others than the driver's: one of them is ours
    assert look(frozenset({1}))[0].others == 1
    board.processes.clear()
    assert look(own)[0].others is None
    divided = Board(mig=1)
    boards(divided)
    part = sensors.opened("gpu", 1)(own)[0]
    assert (part.others, part.settings["mig"]) == (None, True)
    boards(Board())
    [of] = watched("gpu")["devices"]
    assert of["others"] == 0.0


def test_what_cannot_be_seen_is_said(boards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    boards(None)  # as if it were not installed
    seen = watched("gpu")
    assert "nvidia-ml-py is not installed" in seen["not_observed"]
    assert seen["devices"] == []
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: (_ for _ in ()).throw(OSError("no")))
    with Watch("cpu", 1, "here") as watch:
        watch.begin()
    blind = watch.summary()
    assert blind is not None
    assert (blind["others"], blind["samples"]) == (None, 0)
    assert blind["not_observed"] == ["OSError: no"]
    assert disturbances([blind], "cpu") == []
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(sensors.UnobservedError, match="npu-smi is not on PATH"):
        sensors.opened("npu", 1)


# as Ascend documents them, and as users of Atlas 800 have printed them
MAPPING = """\
        NPU ID                         Chip ID                        Chip Logic ID                  Chip Name
        0                              0                              0                              Ascend 910B3
        0                              1                              -                              Mcu
        1                              0                              1                              Ascend 910B3
        1                              1                              -                              Mcu
"""  # noqa: E501
COMMON = """\
        NPU ID                         : {card}
        Chip Count                     : 1

        Chip ID                        : 0
        Memory Usage Rate(%)           : 0
        HBM Usage Rate(%)              : 82
        Aicore Usage Rate(%)           : 70
        Aicore Freq(MHZ)               : 1800
        Aicore curFreq(MHZ)            : {clock}
        Aicore Count                   : 20
        Temperature(C)                 : 66
        NPU Real-time Power(W)         : 331.1

        Chip Name                      : mcu
        Temperature(C)                 : 40
"""
ECC = """\
        NPU ID                                   : 1
        Chip Count                               : 1

        DDR Single Bit Error Count               : 7
        DDR Double Bit Error Count               : 1
        DDR Double Bit Aggregate Total Err Cnt   : 40
        HBM Double Bit Error Count               : 2
        HBM Double Bit Isolated Pages Count      : 50
        Chip ID                                  : 0
"""
TABLE = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc2                 Version: 24.1.rc2                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 331.1       66                0    / 0             |
| 0                         | 0000:C1:00.0  | 70          0    / 0          55844/ 65536         |
+===========================+===============+====================================================+
| 1     910B3               | OK            | 93.4        46                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          2848 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| No running processes found in NPU 0                                                            |
+===========================+===============+====================================================+
| 1       0                 | 4242          | python                   | 30784                   |
| 1       0                 | 907864        |                          | 134                     |
+===========================+===============+====================================================+
"""


def test_npus_are_seen_by_npu_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = {str(card): COMMON.format(card=card, clock=1800 - 450 * card) for card in range(2)}
    printed = {"mapping": MAPPING, "table": TABLE, "ecc-1": ECC, **common}
    for name, text in printed.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    program = tmp_path / "npu-smi"
    program.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\n'
        'case "$*" in "info -m") exec cat mapping;; info) exec cat table;; '
        '"info -t common -i "?) exec cat "$5";; "info -t ecc -i 1 -c 0") exec cat ecc-1;; esac\n'
        'echo "Unknown command"; exit 1\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "1,0")
    slow, well = sensors.opened("npu", 2)(frozenset({4242}))
    assert slow.figures == {"clock_mhz": 1350, "temperature_c": 66, "power_w": 331.1}
    assert slow.settings == {"rated_clock_mhz": 1800, "ecc_uncorrected": 3}
    assert well.settings == {"rated_clock_mhz": 1800}  # that one does not count them
    assert (slow.throttled, slow.others) == (True, 1)
    # nobody is listed there, not even the run: what is seen is not the whole
    assert (well.throttled, well.reasons, well.others) == (False, [], None)
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0,7")
    with pytest.raises(sensors.UnobservedError, match="npu-smi info -m: does not list 0, 7"):
        sensors.opened("npu", 2)
    program.write_text(
        "#!/bin/sh\necho dcmi module initialize failed. ret is -8005\nexit 1\n", "utf-8"
    )
    with pytest.raises(sensors.UnobservedError, match=r"-m: dcmi module .* ret is -8005"):
        sensors.opened("npu", 1)
