"""`DaskLightFM`: signatures and docstrings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distributed import Client, default_client

from lightfm_clone._checks import names_ours
from lightfm_clone.dask import fitting
from lightfm_clone.lightfm import LightFM

if TYPE_CHECKING:
    from typing_extensions import Self


class DaskLightFM(LightFM):
    """TODO"""

    @names_ours
    def __init__(self, *args: Any, client: Client | None = None, **kw: Any) -> None:
        self.client = client
        super().__init__(*args, **kw)

    def _reset_state(self) -> None:
        super()._reset_state()
        self._fitted: fitting.Fitted | None = None

    @property
    def client_(self) -> Client:
        return self.client or default_client()

    def fit_partial(
        self,
        interactions,
        user_features=None,
        item_features=None,
        sample_weight=None,
        epochs=1,
        num_threads=1,
        verbose=False,
        *,
        validation=None,
        callbacks=(),
        resize=False,
        known_interactions=None,
    ) -> Self:
        before = dict(self.__dict__)
        try:
            fitting.fit_partial(
                self,
                self.client_,
                interactions,
                user_features=user_features,
                item_features=item_features,
                sample_weight=sample_weight,
                epochs=epochs,
                num_threads=num_threads,
                verbose=verbose,
                validation=validation,
                callbacks=callbacks,
                resize=resize,
                known_interactions=known_interactions,
            )
        except BaseException:
            self.__dict__ = before
            raise
        return self
