from tsugiki.backbones import Loaded


def test_empty_text_still_has_its_special_tokens(tiny: Loaded) -> None:
    assert tiny.backbone.prepare([""])[0].ids.tolist() == [2, 3]
