"""Densities q(z | c) that serve both as reconstruction density and as kernel of the entropy.

Every kernel has the form

    log q(z | c) = log_normalizer(d) + scale * similarity(z, c),
    similarity(z, c) = similarity(c, z),

and adding one is adding one class: ``scale``, ``log_normalizer``, ``similarity`` and
``similarity_pairs`` are all that the estimators need (a learnt parameter enters through ``scale``
and ``log_normalizer``). Everything is in nats. The symmetry
q(z | c) = q(c | z) is what makes the trained value one bound for both roles of its arguments, and
it halves the work of the entropies.

Shape suffixes: n, m rows; d dimensions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from mvssl.information import checks
from mvssl.information.log_normalizer import log_normalizer, log_normalizer_tensor


def inner_products(a_nd: Tensor, b_md: Tensor) -> Tensor:
    """a b^T, (n, m), without autocast in forward and backward alike.

    Switching autocast off around a product is not enough: a backward that runs inside an autocast
    region (gradients of cached embeddings, say) would take the product's own in half precision.
    """
    result: Tensor = _InnerProducts.apply(a_nd, b_md)
    return result


class _InnerProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a_nd: Tensor, b_md: Tensor) -> Tensor:
        ctx.save_for_backward(a_nd, b_md)
        with checks.full_precision(a_nd):
            return a_nd @ b_md.T

    @staticmethod
    def backward(ctx: Any, grad_nm: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a_nd, b_md = ctx.saved_tensors
        need_a, need_b = ctx.needs_input_grad
        return (
            inner_products(grad_nm, b_md.T) if need_a else None,
            inner_products(grad_nm.T, a_nd.T) if need_b else None,
        )


class Kernel(ABC):
    """A density q(z | c), symmetric in its arguments. See the module's text for its parts."""

    on_sphere: ClassVar[bool]
    """Whether rows must have unit length."""
    bounded: ClassVar[bool]
    """Whether log q is bounded below on its support; if not, `loo` is no training loss."""

    @property
    @abstractmethod
    def scale(self) -> float | Tensor:
        """The factor of the similarity: a number, or a 0-d tensor where it is learnt."""

    @abstractmethod
    def log_normalizer(self, d: int) -> float | Tensor:
        """log q at similarity zero, in nats: a float, or a 0-d tensor where it is learnt."""

    @abstractmethod
    def similarity(self, a_nd: Tensor, b_md: Tensor) -> Tensor:
        """(n, m) similarities of every row of a with every row of b, in a tensor of their own."""

    @abstractmethod
    def similarity_pairs(self, a_nd: Tensor, b_nd: Tensor) -> Tensor:
        """(n,) similarities row by row."""

    def similarity_vjp(self, weight_nm: Tensor, a_nd: Tensor, b_md: Tensor) -> Tensor:
        """sum_j weight_ij d similarity(a_i, b_j) / d a_i, (n, d). By autograd unless overridden."""
        with torch.enable_grad():
            a_nd = a_nd.detach().requires_grad_()
            similarity_nm = self.similarity(a_nd, b_md.detach())
            (grad_nd,) = torch.autograd.grad(similarity_nm, a_nd, weight_nm)
        return grad_nd

    def ceiling(self, estimator: str, k: int, q: int = 0) -> float | None:
        """The largest ER estimate (beta = 1) from k samples and a queue of q, in nats.

        None where there is none. This default holds for any density that peaks at its centre.
        """
        return None if estimator == "loo" else math.log(k + q)

    def infonce_ceiling(self, candidates: int) -> float | None:
        """The largest InfoNCE value with that many candidates, in nats."""
        return math.log(candidates)

    def check(self) -> None:
        """Raises ValueError where a learnt parameter has left its range; reads the device."""
        if isinstance(self.scale, Tensor):
            _positive(_number(self.scale), f"the scale of {type(self).__name__}")

    def log_density(
        self, z_nd: Tensor, centers_md: Tensor, *, normalized: bool = True, validate: bool = True
    ) -> Tensor:
        """log q(z_i | c_j), (n, m), in nats; without log_normalizer if ``normalized`` is False.

        Half precision is computed in float32, also under autocast. Raises ValueError for wrong
        shapes and, unless ``validate`` is False, for values off the kernel's support.
        """
        z_nd, centers_md = self._inputs(z_nd, centers_md, validate)
        checks.check_same_columns(z_nd, centers_md, "z", "centers")
        with checks.full_precision(z_nd):
            scores_nm = self.scale * self.similarity(z_nd, centers_md)
            return scores_nm + self.log_normalizer(z_nd.shape[1]) if normalized else scores_nm

    def log_density_pairs(
        self, a_nd: Tensor, b_nd: Tensor, *, normalized: bool = True, validate: bool = True
    ) -> Tensor:
        """log q(a_i | b_i), (n,), in nats. Options and errors as for :meth:`log_density`."""
        a_nd, b_nd = self._inputs(a_nd, b_nd, validate, ("a", "b"))
        checks.check_same_shape(a_nd, b_nd, "a", "b")
        with checks.full_precision(a_nd):
            scores_n = self.scale * self.similarity_pairs(a_nd, b_nd)
            return scores_n + self.log_normalizer(a_nd.shape[1]) if normalized else scores_n

    def _inputs(
        self, a: Tensor, b: Tensor, validate: bool, names: tuple[str, str] = ("z", "centers")
    ) -> tuple[Tensor, Tensor]:
        if validate:
            self.check()
        a = checks.embeddings(a, names[0], on_sphere=self.on_sphere, validate=validate)
        b = checks.embeddings(b, names[1], on_sphere=self.on_sphere, validate=validate)
        dtype = torch.promote_types(a.dtype, b.dtype)
        return a.to(dtype), b.to(dtype)


class _Parameter:
    """A number > 0, or a 0-d tensor that is learnt: checked whenever it is set."""

    def __set_name__(self, owner: type[Kernel], name: str) -> None:
        self.name = name

    def __get__(self, kernel: Kernel, owner: type[Kernel] | None = None) -> float | Tensor:
        found: float | Tensor = vars(kernel)[self.name]
        return found

    def __set__(self, kernel: Kernel, value: float | Tensor) -> None:
        vars(kernel)[self.name] = _parameter(value, self.name)


class VonMisesFisher(Kernel):
    """von Mises-Fisher on the unit sphere: log q(z | c) = log C_d(kappa) + kappa c.z.

    Args:
        kappa: concentration, > 0; 1 / temperature in the contrastive literature. A 0-d tensor is
            taken as learnt: gradients reach it, log C_d included.
    """

    on_sphere = True
    bounded = True
    kappa = _Parameter()

    def __init__(self, kappa: float | Tensor) -> None:
        self.kappa = kappa

    def __repr__(self) -> str:
        return f"VonMisesFisher(kappa={self.kappa})"

    @property
    def scale(self) -> float | Tensor:
        return self.kappa

    def log_normalizer(self, d: int) -> float | Tensor:
        """log C_d(kappa) in nats: a cached float, or for a tensor kappa a 0-d tensor with
        derivative -I_{d/2}(kappa) / I_{d/2-1}(kappa).
        """
        if d < 2:
            raise ValueError(f"The von Mises-Fisher density needs d >= 2, found d = {d}.")
        if isinstance(self.kappa, Tensor):
            return log_normalizer_tensor(self.kappa, d)
        return log_normalizer(self.kappa, d)

    def similarity(self, a_nd: Tensor, b_md: Tensor) -> Tensor:
        return inner_products(a_nd, b_md)

    def similarity_pairs(self, a_nd: Tensor, b_nd: Tensor) -> Tensor:
        return (a_nd * b_nd).sum(dim=1)

    def similarity_vjp(self, weight_nm: Tensor, a_nd: Tensor, b_md: Tensor) -> Tensor:
        return weight_nm @ b_md

    def ceiling(self, estimator: str, k: int, q: int = 0) -> float | None:
        kappa = _number(self.kappa)
        if estimator == "loo":
            return 2 * kappa if q else kappa * k / (k - 1)
        return min(math.log(k + q), 2 * kappa if q else kappa)

    def infonce_ceiling(self, candidates: int) -> float | None:
        return min(math.log(candidates), 2 * _number(self.kappa))


class Gaussian(Kernel):
    """Isotropic Gaussian in R^d: log q(z | c) = -(d/2) log(2 pi sigma^2) - |z - c|^2 / (2 sigma^2).

    Args:
        sigma: standard deviation, > 0; a 0-d tensor is taken as learnt.
    """

    on_sphere = False
    bounded = False
    sigma = _Parameter()

    def __init__(self, sigma: float | Tensor) -> None:
        self.sigma = sigma

    def __repr__(self) -> str:
        return f"Gaussian(sigma={self.sigma})"

    @property
    def scale(self) -> float | Tensor:
        return self.sigma**-2

    def log_normalizer(self, d: int) -> float | Tensor:
        """-(d/2) log(2 pi sigma^2), in nats."""
        if isinstance(self.sigma, Tensor):
            return -(d / 2) * (math.log(2 * math.pi) + 2 * torch.log(self.sigma))
        return -(d / 2) * (math.log(2 * math.pi) + 2 * math.log(self.sigma))

    def similarity(self, a_nd: Tensor, b_md: Tensor) -> Tensor:
        # In float32 expanded squares are not 0 of a sample with itself: a small sigma magnifies it.
        a, b = _centred(a_nd.double(), b_md.double())
        squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
        return (inner_products(a, b) - 0.5 * squares).clamp(max=0).to(a_nd.dtype)

    def similarity_pairs(self, a_nd: Tensor, b_nd: Tensor) -> Tensor:
        return -0.5 * (a_nd - b_nd).square().sum(dim=1)

    def similarity_vjp(self, weight_nm: Tensor, a_nd: Tensor, b_md: Tensor) -> Tensor:
        a_nd, b_md = _centred(a_nd, b_md)
        return weight_nm @ b_md - weight_nm.sum(dim=1, keepdim=True) * a_nd


def _centred(a_nd: Tensor, b_md: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the origin amid the data, where sums are accurate; differences stay the same."""
    origin_d = b_md.detach().mean(dim=0)
    return a_nd - origin_d, b_md - origin_d


def _parameter(value: float | Tensor, name: str) -> float | Tensor:
    if isinstance(value, Tensor):
        if value.dim() != 0 or not value.is_floating_point():
            raise ValueError(
                f"A learnt {name} must be a 0-d floating-point tensor, found shape "
                f"{tuple(value.shape)}, dtype {value.dtype}."
            )
        if value.device.type == "cpu":  # elsewhere reading it would wait for the device
            _positive(_number(value), name)
        return value
    return _positive(float(value), name)


def _number(value: float | Tensor) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else value


def _positive(value: float, name: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and > 0, found {value}.")
    return value
