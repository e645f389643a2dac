"""What `LightFM.explain` returns."""

from lightfm_clone._model.explain import Contribution, Explanation

__all__ = ["Contribution", "Explanation"]
