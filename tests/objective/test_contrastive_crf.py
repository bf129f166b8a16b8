"""The contrastive CRF, against golden values."""

import torch
from tests.helpers import golden

from segdistill.objective.contrastive_crf import (
    contrastive_crf_loss,
    log_pairwise_kernel,
    pairwise_kernel,
)


def test_loss_is_golden() -> None:
    values = golden("contrastive_crf")
    rows, columns = values["rows"], values["cols"]
    loss = contrastive_crf_loss(
        values["guidance"][:, :, rows, columns].mT,
        values["code"][:, :, rows, columns].mT,
        torch.stack([rows, columns], dim=1),
    )
    settings = [values[name] for name in ("alpha", "beta", "gamma", "w1", "w2", "shift")]
    assert settings == [0.5, 0.15, 0.05, 10.0, 3.0, 0.0]  # those of the released code, built in
    torch.testing.assert_close(loss, values["loss"], atol=1e-5, rtol=1e-5)


def test_close_and_alike_locations_attract_more() -> None:
    codes = torch.ones(1, 3, 1)
    cells = torch.tensor([[0, 0], [0, 1], [0, 9]])
    alike = contrastive_crf_loss(torch.zeros(1, 3, 3), codes, cells)
    assert alike[0, 0, 1] < alike[0, 0, 2]
    unlike = contrastive_crf_loss(torch.eye(3)[None] * 3, codes, cells)
    assert alike[0, 0, 1] < unlike[0, 0, 1]


def test_the_logarithm_is_that_of_the_kernel_and_goes_on_where_that_is_0() -> None:
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(2, 6, 3, generator=generator)
    cells = torch.randint(0, 3, (6, 2), generator=generator)
    logarithm = log_pairwise_kernel(colours, cells)
    torch.testing.assert_close(logarithm, pairwise_kernel(colours, cells).log())
    torch.testing.assert_close(
        logarithm.diagonal(dim1=1, dim2=2), torch.tensor(13.0).log().expand(2, 6)
    )
    far = torch.tensor([[0, 0], [0, 30], [40, 0]])
    grey = torch.zeros(1, 3, 3)
    grey[0, 2] = 0.6
    assert pairwise_kernel(grey, far)[0, 0, 1] == 0
    # The appearance kernel alone: its squared distances over 1, its squared colours over 0.3.
    found = log_pairwise_kernel(grey, far)[0, 0, 1:]
    expected = torch.tensor([10.0, 10.0]).log() - torch.tensor([900.0, 1600 + 3 * 0.36 / 0.3])
    torch.testing.assert_close(found, expected)
