import numpy as np
import pytest
from sqlalchemy import update

from tests.storage.making import Stores, sample
from tsugiki.errors import ArtifactCorrupt
from tsugiki.storage.features import Features
from tsugiki.storage.tables import FeatureRow


def stored(stores: Stores, rows: int, name: str = "support") -> tuple[str, list[str]]:
    project = stores.project(name)
    outcomes = stores.samples.add(project.id, [sample(f"{row}", "x") for row in range(rows)])
    return project.id, [outcome.id or "" for outcome in outcomes]


def test_vectors_come_back_bit_for_bit_in_order_of_samples(stores: Stores) -> None:
    project_id, ids = stored(stores, 700)
    matrix = np.random.default_rng(0).standard_normal((700, 5)).astype(np.float32)
    features = Features(stores.database)
    features.save(project_id, "fsp_1", ids[::-1], matrix[::-1])
    loaded = features.load(project_id, "fsp_1")
    assert list(loaded.sample_ids) == ids
    assert loaded.matrix.dtype == np.float32
    np.testing.assert_array_equal(loaded.matrix, matrix)


def test_spaces_and_projects_never_meet(stores: Stores) -> None:
    features = Features(stores.database)
    project_id, ids = stored(stores, 2)
    other_id, others = stored(stores, 2, "other")
    features.save(project_id, "fsp_1", ids, np.ones((2, 3), np.float32))
    features.save(project_id, "fsp_2", ids, np.zeros((2, 4), np.float32))
    features.save(other_id, "fsp_1", others, np.zeros((2, 3), np.float32))
    assert features.load(project_id, "fsp_1").matrix.sum() == 6
    assert features.load(project_id, "fsp_2").matrix.shape == (2, 4)
    features.save(other_id, "fsp_2", ids, np.zeros((2, 4), np.float32))  # of samples that are not its own
    assert features.load(other_id, "fsp_2").matrix.shape == (0, 0)


def test_saving_again_adds_only_what_is_new(stores: Stores) -> None:
    features = Features(stores.database)
    project_id, ids = stored(stores, 3)
    features.save(project_id, "fsp_1", ids[:2], np.ones((2, 3), np.float32))
    features.save(project_id, "fsp_1", ids, np.full((3, 3), 2, np.float32))
    assert features.load(project_id, "fsp_1").matrix[:, 0].tolist() == [1, 1, 2]


def test_a_sample_deleted_meanwhile_is_skipped(stores: Stores) -> None:
    features = Features(stores.database)
    project_id, ids = stored(stores, 2)
    stores.samples.delete(project_id, ids[0])
    features.save(project_id, "fsp_1", ids, np.ones((2, 3), np.float32))
    assert features.load(project_id, "fsp_1").sample_ids == (ids[1],)


def test_vectors_go_with_their_sample(stores: Stores) -> None:
    features = Features(stores.database)
    project_id, ids = stored(stores, 2)
    features.save(project_id, "fsp_1", ids, np.ones((2, 3), np.float32))
    stores.samples.delete(project_id, ids[0])
    assert features.load(project_id, "fsp_1").sample_ids == (ids[1],)


def test_a_vector_of_another_length_is_refused(stores: Stores) -> None:
    features = Features(stores.database)
    project_id, ids = stored(stores, 2)
    features.save(project_id, "fsp_1", ids, np.ones((2, 3), np.float32))
    with stores.database.write() as session:
        session.execute(update(FeatureRow).where(FeatureRow.sample_id == ids[1]).values(vector=b"\0" * 8))
    with pytest.raises(ArtifactCorrupt):
        features.load(project_id, "fsp_1")
