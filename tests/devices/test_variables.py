"""Variables of the environment: which are recorded, which are refused, which are told."""

import pytest

from semask.base.errors import InputError
from semask.devices.variables import ACCEPTED, TABLE, check, differences, known, told


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"NVIDIA_TF32_OVERRIDE": "1"}, "NVIDIA_TF32_OVERRIDE='1' overrides numerics.reduced"),
        ({"NVIDIA_TF32_OVERRIDE": "0"}, "overrides numerics.reduced_matmul"),
        ({"TORCHDYNAMO_DISABLE": "1"}, "TORCHDYNAMO_DISABLE='1' overrides execution.compile"),
        ({"TORCH_COMPILE_DISABLE": "1"}, "overrides execution.compile"),
        ({"CUDA_LAUNCH_BLOCKING": "1"}, "is for debugging and changes speed"),
        ({"ASCEND_LAUNCH_BLOCKING": "1"}, "is for debugging"),
        ({"PYTORCH_NO_NPU_MEMORY_CACHING": "1"}, "is for debugging"),
        ({"ONEDNN_VERBOSE": "2", "NCCL_DEBUG": "INFO"},
         "accept it by surroundings: {accept: [NCCL_DEBUG, ONEDNN_VERBOSE]}"),
    ],
)  # fmt: skip
def test_what_has_the_last_word_or_is_for_debugging_is_refused(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError) as raised:
        check(environment)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    check(environment, [*environment])
    # by a workflow's jobs, which are told what its config accepts
    check({**environment, ACCEPTED: ",".join(environment)})


@pytest.mark.parametrize(
    "environment",
    [
        {"CUDA_LAUNCH_BLOCKING": "0", "NCCL_DEBUG": "WARN", "ASCEND_GLOBAL_LOG_LEVEL": "3"},
        {"TORCHDYNAMO_DISABLE": "", "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT"},
        {"ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_PROC_BIND": "true", "HOME": "/root"},
    ],
)
def test_what_does_nothing_or_is_only_to_be_told_is_not_refused(
    environment: dict[str, str],
) -> None:
    check(environment)


def test_records_have_what_changes_figures_and_no_secret() -> None:
    environment = {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MALLOC_ARENA_MAX": "2",
        "LD_PRELOAD": "/home/me/lib/libjemalloc.so.2 /opt/x.so",
        "PYTORCH_CUDA_ALLOC_CONF": "a\x1b[2J",
        "ASCEND_HOME_PATH": "/usr/local/Ascend",
        "AWS_SECRET_ACCESS_KEY": "x",
        "TORCHINDUCTOR_REDIS_URL": "redis://me:word@host",
        "NCCL_AUTH_TOKEN": "x",
        "TORCH_HUB_PAT": "x",
        "PATH": "/bin",
        "HOME": "/root",
    }
    assert told(environment) == {
        "ASCEND_HOME_PATH": "/usr/local/Ascend",
        "LD_PRELOAD": "libjemalloc.so.2 x.so",
        "MALLOC_ARENA_MAX": "2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "PYTORCH_CUDA_ALLOC_CONF": "a?[2J",
    }


def test_only_what_changes_figures_sets_two_runs_apart() -> None:
    a = {"ONEDNN_MAX_CPU_ISA": "SSE41", "CUDA_VISIBLE_DEVICES": "0", "CUDA_HOME": "/usr"}
    b = {"CUDA_VISIBLE_DEVICES": "1", "TASK_QUEUE_ENABLE": "2", "CUDA_HOME": "/opt"}
    b |= {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50", "NCCL_TOPO_FILE": "of.xml"}
    assert differences(a, b) == [
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE (unset and 50)",
        "NCCL_TOPO_FILE (unset and of.xml)",
        "ONEDNN_MAX_CPU_ISA (SSE41 and unset)",
        "TASK_QUEUE_ENABLE (unset and 2)",
    ]
    assert differences(a, a) == []


def test_what_a_workflow_sets_itself_sets_no_rows_apart() -> None:
    """Snakemake sets threads to a job's cores, a supervisor where its processes meet."""
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS")
    own = dict.fromkeys(threads, "2") | {"GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": "0"}
    own |= {"TORCHINDUCTOR_CACHE_DIR": "/tmp/x", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
    assert told(own) == dict(sorted(own.items()))
    assert differences(own, {}) == []


def test_the_table_says_one_thing_of_each_name() -> None:
    names = [of.name for of in TABLE]
    assert len({*names}) == len(names)
    for of in TABLE:
        found = known(of.name.removesuffix("*"))
        # a prefix may begin another one that stands before it
        assert found is not None, of
        assert of.name.endswith("*") or found == of, of
