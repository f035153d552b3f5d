"""What training sees of an input is another each time, and still that input."""

from __future__ import annotations

import torch

from tsugiki.training.augmentation import varied


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(rows: int = 64) -> torch.Tensor:
    """Dark on the left, light on the right."""
    slope = torch.linspace(0, 255, 32).to(torch.uint8)
    return slope.view(1, 1, 32, 1).expand(rows, 32, 32, 3).contiguous()


def test_pictures_are_cut_lit_and_mirrored() -> None:
    given = pictures()
    (found,) = varied([given], generator())
    assert found.shape == given.shape and found.dtype == torch.uint8
    assert len({row.numpy().tobytes() for row in found}) == len(found), "no two alike"
    halves = found.float().mean(dim=(1, 3))
    rising = (halves[:, 16:].mean(dim=1) > halves[:, :16].mean(dim=1)).float().mean()
    assert 0.3 < float(rising) < 0.7, "about half of them as in a mirror"
    assert abs(float(found.float().mean()) - float(given.float().mean())) < 16, "as light as before, on the whole"


def test_the_same_seed_varies_alike() -> None:
    first, again, other = (varied([pictures()], generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_few_bands_and_moments_of_a_sound_are_masked() -> None:
    given = torch.randn(16, 60, 80, generator=generator())
    mask = torch.ones(16, 60, dtype=torch.int64)
    found, kept = varied([given, mask], generator())
    assert kept is mask
    changed = (found != given).float().mean(dim=(1, 2))
    assert 0.0 < float(changed.mean()) < 0.3
    whole = (found != given).all(dim=2).any() or (found != given).all(dim=1).any()
    assert bool(whole), "what is masked is so over all bands, or all the time"


def test_texts_stay_as_they_are() -> None:
    given = [torch.ones(4, 7, dtype=torch.int64), torch.ones(4, 7, dtype=torch.int64)]
    assert all(a is b for a, b in zip(varied(given, generator()), given, strict=True))
