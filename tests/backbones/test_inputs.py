import numpy as np
import pytest

from tsugiki.backbones.inputs import mask_of, pad, stack


def test_texts_are_padded_and_the_mask_comes_from_lengths_not_from_ids() -> None:
    batch = stack([np.array([2, 0, 3]), np.array([2, 3])])
    assert list(batch) == ["input_ids", "attention_mask"], "the order in which the torch module takes them"
    assert batch["input_ids"].tolist() == [[2, 0, 3], [2, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert {part.dtype for part in batch.values()} == {np.dtype(np.int64)}


def test_sounds_are_padded_with_silent_frames_that_the_mask_leaves_out() -> None:
    short, long = np.zeros((2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(4, 3)
    batch = stack([short, long])
    assert list(batch) == ["mel", "attention_mask"]
    assert batch["mel"].dtype == np.float32
    assert batch["mel"][1].tolist() == long.tolist()
    assert batch["mel"].shape == (2, 4, 3) and not batch["mel"][0].any()
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["attention_mask"].dtype == np.int64


def test_pictures_are_laid_one_on_the_other() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    batch = stack(list(pictures))
    assert list(batch) == ["pixels"]
    assert batch["pixels"].dtype == np.uint8
    assert (batch["pixels"] == pictures).all()


def test_pictures_of_two_shapes_are_no_batch() -> None:
    with pytest.raises(ValueError, match="shape"):
        stack([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])


@pytest.mark.parametrize("dimensions", [0, 4])
def test_a_row_of_other_dimensions_is_a_bug(dimensions: int) -> None:
    with pytest.raises(AssertionError, match="this is a bug"):
        stack([np.zeros((1,) * dimensions, np.float32)])


def test_a_row_alone_is_as_it_was() -> None:
    row = np.array([2, 7, 3])
    assert pad([row]).tolist() == [row.tolist()]
    assert mask_of([row]).tolist() == [[1, 1, 1]]
