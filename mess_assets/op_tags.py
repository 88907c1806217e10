"""Tags and names that several assets share, each with its reason."""

OWNERS = ["team:mess"]

GPU_POOL = "gpu"
"""Pool with one slot per GPU: two runs never load a model on one GPU at once."""

CPU_POOL = "cpu"
"""Pool of its own, so that CPU stages run beside GPU stages."""

GPU_TAGS = {
    "mess/device": "gpu",
    "dagster-k8s/config": {
        "container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
    },
}
"""Read by the Kubernetes executor; without it they only describe."""

CPU_TAGS = {"mess/device": "cpu"}
