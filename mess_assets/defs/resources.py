"""Resources: the store, the encoder and MLflow, with their settings.

Environment variables give the defaults; run config or the launchpad override them:
``MESS_DATA_ROOT`` (data), ``MESS_DATASETS`` (folders in data/datasets), ``MESS_ENCODER``
(mess-piano), ``MESS_DEVICE`` (auto), ``MESS_DTYPE`` (auto), ``MESS_CONTROL`` (auto),
``MLFLOW_TRACKING_URI`` (SQLite in the data root).

Assets read and write the store themselves instead of using IO managers, because a
`UPathIOManager` cannot write several partitions in one run. Results must also be found in the
store without Dagster's event log, for instance by the search page or by a new Dagster home.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import dagster as dg
from pydantic import Field

from mess_core.environment import configured_encoder


class StoreResource(dg.ConfigurableResource):
    """The data root and the configured data sets."""

    data_root: str = Field(
        default_factory=lambda: os.environ.get("MESS_DATA_ROOT", "data"),
        description="Local folder or fsspec URL.",
    )
    datasets: str = Field(
        default_factory=lambda: os.environ.get("MESS_DATASETS", ""),
        description="name=path pairs, comma-separated; empty: the folders in <data_root>/datasets.",
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Sign the run, if there is one, with its process; sensors have none."""
        from mess_assets.workers import sign_run

        if context.run is not None and context.instance is not None:
            sign_run(context.instance, context.run.run_id)

    @property
    def layout(self) -> Any:
        """`mess_core.store.Layout` of the data root; see `EncoderResource.layout`."""
        return _layout(self.data_root)

    def sources(self) -> list[Any]:
        """Return the configured data sets."""
        from mess_core.datasets import configured_sources

        return configured_sources(self.data_root, self.datasets)


class EncoderResource(dg.ConfigurableResource):
    """The encoder, its device and its windows."""

    name: str = Field(
        default_factory=configured_encoder,
        description="A name that `mess encoders` lists, such as mess-piano or mert-v1-95m, or a "
        "folder of a model or of `mess train-encoder`; settings may follow: NAME,pooling=mean.",
    )
    device: str = Field(default_factory=lambda: os.environ.get("MESS_DEVICE", "auto"))
    dtype: str = Field(
        default_factory=lambda: os.environ.get("MESS_DTYPE", "auto"),
        description="auto: float16 on CUDA, else float32. Set it if machines differ.",
    )
    window_s: float = 5.0
    hop_s: float = 2.5
    normalise: str = "window"
    pooling: str = Field(
        "auto",
        description="mean, mean+std, mean+std+delta, percentiles, or auto: the encoder's default.",
    )
    batch_size: int = 4
    keep_raw: bool = False

    control: str = Field(
        default_factory=lambda: os.environ.get("MESS_CONTROL", "auto"),
        description="auto: compare with the encoder's untrained counterpart; off: do not.",
    )

    def layout(self, store: StoreResource) -> Any:
        """Return `mess_core.store.Layout` of the data root for this encoder."""
        return store.layout.of(self.folder())

    def folder(self) -> str:
        """Return the name of the folder of everything computed with this encoder."""
        from mess_core.encoders.registry import changed_settings, find_encoder

        source = find_encoder(self.name)
        settings = {"window_s": self.window_s, "hop_s": self.hop_s, "normalise": self.normalise}
        if self.pooling != "auto":
            settings["pooling"] = self.pooling
        return source.folder(changed_settings(source.family, {**settings, **source.settings}))

    def windows(self) -> dict[str, float]:
        """Return ``window_s`` and ``hop_s``; those that the name sets take precedence."""
        from mess_core.encoders.registry import find_encoder

        own = find_encoder(self.name).settings
        return {one: float(own.get(one, getattr(self, one))) for one in ("window_s", "hop_s")}

    def named(self, name: str) -> "EncoderResource":
        """Return this configuration for another encoder, with that encoder's pooling."""
        kept = ("device", "dtype", "window_s", "hop_s", "normalise", "batch_size", "keep_raw")
        return EncoderResource(name=name, **{one: getattr(self, one) for one in kept})

    def no_control(self) -> str | None:
        """Return why no untrained counterpart is needed, or None."""
        if self.control == "off":
            return "switched off (MESS_CONTROL=off)"
        if self.name.startswith("untrained:"):
            return "the encoder is untrained: it is the control itself"
        return None

    def on_gpu(self) -> bool:
        """Return whether the encoder runs on another device than the CPU."""
        from mess_core.encoders.loading import pick_device

        return bool(pick_device(self.device).type != "cpu")

    def load(self, device: str | None = None) -> Any:
        """Return the encoder on `device` (default: as configured), loaded once per process."""
        return _load(device or self.device, self.dtype, *self._settings())

    @contextlib.contextmanager
    def reserved(self) -> Iterator[Any]:
        """Yield the encoder on a device that no other process uses while the block runs."""
        from mess_core.encoders.devices import reserve_device

        with reserve_device(self.device) as device:
            yield self.load(device)

    def identity(self) -> dict[str, Any]:
        """Return the identity of the encoder's embeddings, without using the GPU.

        For sensors and checks, whose process stays alive while other processes use the GPU. If
        their machine has other devices, set ``dtype``: "auto" depends on the machine.
        """
        from mess_core.encoders.loading import pick_device, pick_dtype
        from mess_core.encoders.registry import find_encoder

        dtype = self.dtype
        if dtype == "auto":
            half = find_encoder(self.name).family.half
            picked = pick_dtype(dtype, pick_device(self.device), half=half)
            dtype = str(picked).removeprefix("torch.")
        return dict(_identity(dtype, *self._settings()))

    def _settings(self) -> tuple[Any, ...]:
        return (
            self.name, self.window_s, self.hop_s, self.normalise, self.pooling, self.batch_size,
            self.keep_raw,
        )  # fmt: skip


@lru_cache(maxsize=8)
def _layout(data_root: str) -> Any:
    """Return the layout of a data root, whose results have a folder per encoder."""
    from mess_core.encoders.chosen import move_old_store
    from mess_core.store import Layout

    layout = Layout(data_root)
    move_old_store(layout)
    return layout


@lru_cache(maxsize=4)
def _identity(dtype: str, *settings: Any) -> dict[str, Any]:
    identity: dict[str, Any] = _load.__wrapped__("cpu", dtype, *settings).identity
    return identity


@lru_cache(maxsize=4)
def _load(
    device: str,
    dtype: str,
    name: str,
    window_s: float,
    hop_s: float,
    normalise: Any,
    pooling: Any,
    batch_size: int,
    keep_raw: bool,
) -> Any:
    from mess_core.encoders import load_encoder

    return load_encoder(
        name,
        device=device,
        dtype=dtype,
        window_s=window_s,
        hop_s=hop_s,
        normalise=normalise,
        batch_size=batch_size,
        keep_raw=keep_raw,
        **({} if pooling == "auto" else {"pooling": pooling}),
    )


class TrackingResource(dg.ConfigurableResource):
    """MLflow tracking, which never fails a run."""

    uri: str = Field(
        default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI", ""),
        description="Tracking URI; empty: SQLite in the data root; off: no tracking.",
    )

    def log(
        self,
        context: dg.AssetExecutionContext,
        store: StoreResource,
        experiment: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes] | None = None,
        series: Sequence[Mapping[str, float]] = (),
    ) -> dict[str, Any]:
        """Log one MLflow run that links to the Dagster run, and return metadata that links back."""
        from mess_assets.links import dagster_run_url, mlflow_run_url
        from mess_core.tracking import default_tracking_uri, log_run, without_password

        uri = self.uri or default_tracking_uri(store.layout.root)
        page = dagster_run_url(context.run.run_id)
        logged = log_run(
            experiment,
            uri=uri,
            name=f"{context.asset_key.to_user_string()} {context.run.run_id[:8]}",
            params=params,
            metrics=metrics,
            artifacts=artifacts,
            series=series,
            tags={
                "dagster_run_id": context.run.run_id,
                "dagster_run_url": page,
                "mlflow.note.content": f"[Dagster run]({page})",
            },
        )
        if logged is None:
            return {"mlflow_run": "not logged"}
        return {
            "mlflow_run": dg.MetadataValue.url(mlflow_run_url(logged.experiment_id, logged.run_id)),
            "mlflow_run_id": logged.run_id,
            "mlflow_experiment": experiment,
            "mlflow_store": without_password(uri),
        }
