"""When training ends, and which state is kept."""

import pytest
import torch
import torch.nn.functional as F

from segdistill.config.settings import FitSettings
from segdistill.runs.facts import AgreementRecord
from segdistill.training import early_stopping as module
from segdistill.training.early_stopping import (
    EarlyStopping,
    MonitoredLocations,
    agreement_of_codes,
    has_stopped_rising,
)
from segdistill.training.modules import TrainingModules

KINDS = 5


def locations_of_kinds(spread: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of five kinds of locations, and for each location others of its kind."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.arange(400) % KINDS
    features = F.one_hot(kinds, 8).float() + spread * torch.randn(400, 8, generator=generator)
    neighbours = (torch.arange(400)[:, None] + KINDS * torch.arange(1, 7)) % 400
    return features, neighbours


def stopping() -> EarlyStopping:
    return EarlyStopping(MonitoredLocations(*locations_of_kinds()), [KINDS])


def test_codes_that_tell_kinds_agree_and_others_do_not() -> None:
    features, neighbours = locations_of_kinds()
    assert agreement_of_codes(features, neighbours, [KINDS]) == pytest.approx(1)
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(1))
    assert abs(agreement_of_codes(noise, neighbours, [KINDS])) < 0.05
    # Two kinds that fall together cost something, all of them everything.
    blurred = features.clone()
    blurred[:, 0] = blurred[:, 1] = features[:, :2].sum(dim=1)
    assert 0.5 < agreement_of_codes(blurred, neighbours, [KINDS]) < 0.99


def test_the_best_state_is_kept_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = stopping()
    modules = TrainingModules(8, KINDS, FitSettings(classes=KINDS)).train()
    values = iter([0.2, 0.6, 0.5, 0.6, 0.1])
    monkeypatch.setattr(module, "agreement_of_codes", lambda *_: next(values))
    kept = {}
    for step in range(1, 151):
        with torch.no_grad():
            modules.head.linear.weight.add_(1)
        if step == 75:
            kept = {name: value.clone() for name, value in modules.state_dict().items()}
        looked = watch.update(step, modules) is not None
        assert looked == (step >= 50 and step % 25 == 0)
        assert modules.head.training
    assert watch.best == AgreementRecord(75, 0.6)
    watch.restore_best(modules)
    assert all(torch.equal(modules.state_dict()[name], value) for name, value in kept.items())


def test_training_ends_when_agreement_has_not_risen_for_a_while() -> None:
    watch = stopping()
    assert not watch.should_stop
    for step, agreement in [(50, 0.3), (75, 0.5), (100, 0.4), (124, 0.5)]:
        watch.agreement_history.append(AgreementRecord(step, agreement))
        assert not watch.should_stop
    watch.agreement_history.append(AgreementRecord(125, 0.5))
    assert watch.should_stop


@pytest.mark.parametrize(
    ("best", "last"), [(25, 75), (50, 100), (150, 200), (300, 400), (450, 600), (900, 1050)]
)
def test_the_wait_for_better_codes_is_a_third_of_the_way_there_within_limits(
    best: int, last: int
) -> None:
    records = [AgreementRecord(best, 0.5), AgreementRecord(last - 1, 0.4)]
    assert not has_stopped_rising(records)
    assert has_stopped_rising([*records, AgreementRecord(last, 0.4)])


def test_what_was_seen_goes_through_a_checkpoint() -> None:
    watch, again = stopping(), stopping()
    modules = TrainingModules(8, KINDS, FitSettings(classes=KINDS))
    watch.update(50, modules)
    again.resume(watch.agreement_history, watch.best_state)
    assert again.agreement_history == watch.agreement_history
    assert again.best_state.keys() == modules.state_dict().keys()
    untouched = TrainingModules(8, KINDS, FitSettings(classes=KINDS))
    stopping().restore_best(untouched)  # nothing was seen: nothing to put back
