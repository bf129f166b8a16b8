"""The choice of device, precision and batch size by the capabilities of the machine."""

from collections.abc import Mapping

import pytest
import torch

from segdistill import devices
from segdistill.devices import PixelBudget, choose_compute, has_bfloat16
from segdistill.errors import UserError


def pretend(monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({"architecture": True, "bf16": True}, "32-true"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, bool], expected: str
) -> None:
    pretend(monkeypatch, capabilities)
    assert choose_compute("cpu").precision == expected
    assert choose_compute("cpu", "32-true").precision == "32-true"
    assert choose_compute("cpu", "bf16-mixed").precision == "bf16-mixed"


def test_older_versions_of_torch_have_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not has_bfloat16("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert has_bfloat16("cpu")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not has_bfloat16("cpu")


def test_emulated_bfloat16_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not has_bfloat16("cuda")
    assert not has_bfloat16("mps")


def test_products_run_in_the_chosen_precision() -> None:
    with choose_compute("cpu", "bf16-mixed").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with choose_compute("cpu", "32-true").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_nothing_is_announced(capfd: pytest.CaptureFixture[str]) -> None:
    choose_compute("cpu", "bf16-mixed")
    choose_compute("cpu", "32-true")
    assert capfd.readouterr() == ("", "")


def test_a_missing_device_is_a_user_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda"):
        choose_compute("cuda")


def test_a_batch_grows_with_threads_and_shrinks_with_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    many = PixelBudget(torch.device("cpu"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = PixelBudget(torch.device("cpu"))
    assert many.images(224, 224) > one.images(224, 224) >= 1
    assert one.images(100, 100) > one.images(200, 200)
    assert one.images(9000, 9000) == 1


class SmallMemory:
    """A network on a device that holds a limited number of images."""

    def __init__(self, images: int) -> None:
        self.images = images
        self.tried: list[int] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(images))
        if len(images) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.sum(dim=(2, 3))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9])
def test_a_batch_that_is_too_large_is_halved(count: int) -> None:
    images = torch.rand(count, 3, 4, 5)
    budget, network = PixelBudget(torch.device("cpu")), SmallMemory(2)
    budget.pixels = 1000
    torch.testing.assert_close(budget.run(network, images), images.sum(dim=(2, 3)))
    # Later batches fit from the start.
    network.tried.clear()
    fitting = images[: budget.images(4, 5)]
    budget.run(network, fitting)
    assert network.tried == [len(fitting)]


def test_an_image_that_is_too_large_is_reported_with_a_fix() -> None:
    budget = PixelBudget(torch.device("cpu"))
    with pytest.raises(UserError, match=r"an image of 5x4 pixels .*; lower --resolution"):
        budget.run(SmallMemory(0), torch.rand(3, 3, 4, 5))


def test_pixels_per_batch_are_set_for_gpus() -> None:
    assert {"cuda", "mps"} == set(devices.PIXELS_PER_BATCH)
