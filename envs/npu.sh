# To be sourced before snakemake on a machine with Ascend NPUs:  source envs/npu.sh
# Jobs inherit these variables, and those that are set go into every record. They change the speed
# or the wait for other processes, not what is computed. Not yet tried on hardware: comment out what
# your version of CANN does not know.

# operators are queued by a second thread (level 2 moves more of the work there)
export TASK_QUEUE_ENABLE=2
# threads of a process stay near its NPU
export CPU_AFFINITY_CONF=1
# memory blocks grow instead of being split into pieces
export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
# processes on one machine need no list of allowed hosts
export HCCL_WHITELIST_DISABLE=1
# seconds that a process waits for the others to connect: the first compilation takes minutes
export HCCL_CONNECT_TIMEOUT=1200
# compiled operators are kept between runs
export ACL_OP_COMPILER_CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/semask-acl"
mkdir -p "$ACL_OP_COMPILER_CACHE_DIR"
