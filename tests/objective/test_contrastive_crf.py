"""The contrastive CRF, against golden values."""

import torch
from tests.helpers import golden

from segdistill.objective.contrastive_crf import contrastive_crf_loss


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
