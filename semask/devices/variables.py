"""Environment variables that change what is computed, how fast, or that are for debugging.

One table, from the libraries' own documentation. All that it names are recorded; those that
override a setting of the config, and those for debugging, are refused unless the config accepts
them. It lists names and prefixes, never everything: an environment holds secrets.
"""

import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import NamedTuple

from semask.base.errors import InputError

NUMBERS, SPEED, DEBUGGING, PLACE = "numbers", "speed", "debugging", "place"
"""What a variable changes; a place (devices, folders, hosts) is recorded and changes no figure."""

ACCEPTED = "SEMASK_ACCEPTED_VARIABLES"
"""Environment variable: what `surroundings.accept` of the config has, for a workflow's jobs."""


class Variable(NamedTuple):
    """What a variable, or all with a prefix, do."""

    name: str  # a prefix ends in `*`
    library: str  # that reads it
    changes: str  # numbers, speed, debugging or place
    overrides: str = ""  # key of the config that it has the last word on
    # pattern of the values with which one that overrides or debugs does nothing
    off: str = "|0|off|false|no"


def _all(library: str, changes: str, names: str, overrides: str = "") -> list[Variable]:
    return [Variable(name, library, changes, overrides) for name in names.split()]


_REDUCED = "numerics.reduced_matmul"


# The first that fits a name says what it does: single names stand before prefixes.
TABLE: tuple[Variable, ...] = (
    # 0 forces TF32 off, 1 on, whatever a program says
    Variable("NVIDIA_TF32_OVERRIDE", "CUDA", NUMBERS, _REDUCED, ""),
    Variable("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "torch", NUMBERS, _REDUCED),
    Variable("ONEDNN_DEFAULT_FPMATH_MODE", "oneDNN", NUMBERS, _REDUCED, "|strict"),
    Variable("DNNL_DEFAULT_FPMATH_MODE", "oneDNN", NUMBERS, _REDUCED, "|strict"),
    *_all("torch", SPEED, "TORCHDYNAMO_DISABLE TORCH_COMPILE_DISABLE TORCHDYNAMO_SUPPRESS_ERRORS"
          " TORCH_COMPILE_OVERRIDE_*", "execution.compile"),
    *_all("torch", DEBUGGING, "CUDA_LAUNCH_BLOCKING PYTORCH_NO_CUDA_MEMORY_CACHING"
          " PYTORCH_NO_NPU_MEMORY_CACHING"
          " TORCH_COMPILE_DEBUG TORCH_COMPILE_CPROFILE TORCHDYNAMO_VERBOSE TORCHDYNAMO_REPRO_*"
          " TORCH_LOGS TORCH_TRACE TORCH_DISTRIBUTED_DEBUG TORCH_SHOW_DISPATCH_TRACE"
          " TORCH_CUDNN_V8_API_DEBUG TORCHINDUCTOR_NAN_ASSERTS TORCHINDUCTOR_PROFILE"
          " TORCHINDUCTOR_SAVE_ARGS TORCHINDUCTOR_DEBUG_FUSION"),
    *_all("CUDA", DEBUGGING, "CUBLAS_LOGINFO_DBG CUBLASLT_LOG_LEVEL CUDNN_LOGLEVEL_DBG"
          " CUDNN_LOGINFO_DBG CUDA_DEVICE_WAITS_ON_EXCEPTION CUDA_ENABLE_COREDUMP_ON_EXCEPTION"),
    *_all("oneDNN", DEBUGGING, "ONEDNN_VERBOSE DNNL_VERBOSE ONEDNN_JIT_DUMP DNNL_JIT_DUMP"
          " ONEDNN_JIT_PROFILE DNNL_JIT_PROFILE"),
    *_all("MKL", DEBUGGING, "MKL_VERBOSE"),
    *_all("OpenBLAS", DEBUGGING, "OPENBLAS_VERBOSE"),
    *_all("OpenCV", DEBUGGING, "OPENCV_TRACE OPENCV_DUMP_CONFIG"),
    Variable("NCCL_DEBUG", "NCCL", DEBUGGING, off="|warn|version"),
    Variable("ASCEND_GLOBAL_LOG_LEVEL", "Ascend", DEBUGGING, off="|3|4"),  # errors, nothing
    *_all("Ascend", DEBUGGING, "ASCEND_LAUNCH_BLOCKING ASCEND_SLOG_PRINT_TO_STDOUT"
          " OOM_SNAPSHOT_ENABLE"),
    *_all("Python", DEBUGGING, "PYTHONDEVMODE PYTHONTRACEMALLOC"),
    # what Snakemake sets to a job's cores, and the code here in its own way to a row's threads
    *_all("OpenMP", PLACE, "OMP_NUM_THREADS"),
    *_all("MKL", PLACE, "MKL_NUM_THREADS"),
    *_all("OpenBLAS", PLACE, "OPENBLAS_NUM_THREADS GOTO_NUM_THREADS"),
    *_all("torch", PLACE, "TORCH_DEVICE_BACKEND_AUTOLOAD TORCH_NPU_USE_COMPATIBLE_IMPL"
          " TORCH_NPU_DISABLED_WARNING TORCH_NPU_WARNING_DISABLE"
          " TORCH_NPU_FALLBACK_CPU_DISABLE TORCH_HOME TORCH_COMPILE_DEBUG_DIR"
          " TORCHINDUCTOR_CACHE_DIR TORCH_EXTENSIONS_DIR TORCH_NCCL_ASYNC_ERROR_HANDLING"
          " GLOO_SOCKET_IFNAME"),
    *_all("CUDA", PLACE, "CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_HOME CUDA_PATH CUDA_VERSION"
          " CUDA_CACHE_PATH CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY"),
    *_all("NCCL", PLACE, "NCCL_SOCKET_IFNAME NCCL_IB_HCA NCCL_VERSION NCCL_DEBUG_FILE"),
    *_all("Ascend", PLACE, "HCCL_IF_IP HCCL_IF_BASE_PORT HCCL_SOCKET_IFNAME HCCL_WHITELIST_FILE"
          " HCCL_WHITELIST_DISABLE HCCL_CONNECT_TIMEOUT HCCL_EXEC_TIMEOUT"),
    *_all("torch", NUMBERS, "ATEN_CPU_CAPABILITY TORCH_MKLDNN_* TORCHINDUCTOR_USE_FAST_MATH"
          " TORCHINDUCTOR_EMULATE_PRECISION_CASTS* TORCHINDUCTOR_CPP_ENABLE_UNSAFE_MATH_OPT_FLAG"
          " TORCHINDUCTOR_CPP_ENABLE_FLOATING_POINT_CONTRACT_FLAG"),
    *_all("CUDA", NUMBERS, "CUBLAS_WORKSPACE_CONFIG TORCH_BLAS_PREFER_* TORCH_LINALG_PREFER_*"
          " TORCH_CUDNN_* DISABLE_ADDMM_CUDA_LT"),
    *_all("oneDNN", NUMBERS, "ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA ONEDNN_CPU_ISA_HINTS"
          " DNNL_CPU_ISA_HINTS"),
    *_all("MKL", NUMBERS, "MKL_CBWR MKL_ENABLE_INSTRUCTIONS MKL_DEBUG_CPU_TYPE"
          " MKL_DISABLE_FAST_MM"),
    *_all("OpenBLAS", NUMBERS, "OPENBLAS_CORETYPE"),
    *_all("OpenCV", NUMBERS, "OPENCV_CPU_DISABLE OPENCV_IPP"),
    *_all("NCCL", NUMBERS, "NCCL_ALGO NCCL_PROTO NCCL_TOPO_FILE NCCL_GRAPH_FILE NCCL_CONF_FILE"),
    *_all("Ascend", NUMBERS, "HCCL_DETERMINISTIC LCCL_DETERMINISTIC HCCL_ALGO INF_NAN_MODE_ENABLE"
          " INF_NAN_MODE_FORCE_DISABLE CLOSE_MATMUL_K_SHIFT ATB_MATMUL_SHUFFLE_K_ENABLE"),
    *_all("Ascend", SPEED, "TASK_QUEUE_ENABLE COMBINED_ENABLE CPU_AFFINITY_CONF"
          " STREAMS_PER_DEVICE MULTI_STREAM_MEMORY_REUSE ACLNN_CACHE_LIMIT PER_STREAM_QUEUE"
          " ASCEND_ENHANCE_ENABLE ASCEND_MAX_OP_CACHE_SIZE NPU_ASD_ENABLE HCCL_* TORCH_HCCL_* ACL_*"
          " PYTORCH_NPU_* TORCH_NPU_*"),
    *_all("CUDA", SPEED, "PYTORCH_CUDA_*"),
    *_all("NCCL", SPEED, "TORCH_NCCL_*"),
    *_all("torch", SPEED, "TORCH_* TORCHDYNAMO_* TORCHINDUCTOR_* PYTORCH_* ATEN_* GLOO_*"),
    *_all("Triton", SPEED, "TRITON_*"),
    *_all("CUDA", SPEED, "CUDA_* CUDNN_* CUBLAS_* CUBLASLT_*"),
    *_all("oneDNN", SPEED, "ONEDNN_* DNNL_*"),
    *_all("OpenMP", SPEED, "OMP_* GOMP_* KMP_*"),
    *_all("MKL", SPEED, "MKL_*"),
    *_all("OpenBLAS", SPEED, "OPENBLAS_* BLIS_NUM_THREADS"),
    *_all("OpenCV", SPEED, "OPENCV_FOR_THREADS_NUM OPENCV_THREAD_POOL_*"
          " OPENCV_CPU_* OPENCV_OPENCL_* OPENCV_IO_*"),
    *_all("NumPy", NUMBERS, "NPY_DISABLE_CPU_FEATURES NPY_ENABLE_CPU_FEATURES"),
    *_all("NCCL", SPEED, "NCCL_*"),
    *_all("Ascend", PLACE, "ASCEND_*"),
    *_all("allocators", SPEED, "LD_PRELOAD LD_AUDIT MALLOC_* GLIBC_TUNABLES JE_MALLOC_CONF"
          " _RJEM_MALLOC_CONF TCMALLOC_* MIMALLOC_* PYTHONMALLOC"),
)  # fmt: skip

# of no variable, whatever a prefix says
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PWD|CRED|COOKIE|_PAT\b|_KEY\b|_URL\b|REDIS|AUTH", re.IGNORECASE
)
# of what builds, containers and modules set beside the variables that libraries read
_NO_SETTING = re.compile(r"_(VERSION|HOME|PATH|DIR|FILE|LIST)$")
_LONGEST = 1000  # letters of a value in a record


def known(name: str) -> Variable | None:
    """What the table says of a variable; None where it says nothing."""
    if _SECRET.search(name):
        return None
    return next((of for of in TABLE if fnmatchcase(name, of.name)), None)


def told(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the table that are set, by name.

    Libraries of LD_PRELOAD and LD_AUDIT are told without their folders.
    """
    found = {}
    for name, value in sorted(environment.items()):
        if known(name) is None:
            continue
        if name in ("LD_PRELOAD", "LD_AUDIT"):
            value = " ".join(PurePath(path).name for path in re.split(r"[ :]+", value))
        found[name] = "".join(x if x.isprintable() else "?" for x in value)[:_LONGEST]
    return found


def check(environment: Mapping[str, str] = os.environ, accepted: Sequence[str] = ()) -> None:
    """Refuse what would have figures say something else than the config.

    `accepted` are names that the config accepts, beside those that its workflow has noted.
    InputError where variables override a setting, or are for debugging.
    """
    allowed, faults = {*accepted, *environment.get(ACCEPTED, "").split(",")}, []
    for name, value in sorted(environment.items()):
        of = known(name)
        if of is None or name in allowed or re.fullmatch(of.off, value.strip(), re.IGNORECASE):
            continue
        if of.overrides:
            faults.append(f"{name}={value!r:.60} overrides {of.overrides}")
        elif of.changes == DEBUGGING:
            faults.append(f"{name}={value!r:.60} is for debugging and changes speed")
    if faults:
        names = ", ".join(said.partition("=")[0] for said in faults)
        raise InputError(
            f"environment: {' and '.join(faults)}; unset it, or accept it by "
            f"surroundings: {{accept: [{names}]}} in the config"
        )


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """Variables that change figures and that two processes had otherwise: "NAME (1 and unset)".

    Each one's are as `told` gives them.
    """
    return [
        f"{name} ({a.get(name, 'unset')} and {b.get(name, 'unset')})"
        for name in sorted({*a, *b})
        if a.get(name) != b.get(name) and changes_figures(name)
    ]


_DEVICE_OF = {"Ascend": "npu", "CUDA": "gpu", "NCCL": "gpu", "Triton": "gpu"}


def concerns(name: str, device: str) -> bool:
    """Whether a variable can change anything on a device: cpu, gpu or npu."""
    of = known(name)
    return of is not None and _DEVICE_OF.get(of.library, device) == device


def changes_figures(name: str) -> bool:
    """Whether a variable may change numbers or speed."""
    of = known(name)
    if of is None or of.changes == PLACE:
        return False
    return of.name == name or not _NO_SETTING.search(name)
