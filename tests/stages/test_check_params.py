"""`check-params --explain`: every key of the file, with its meaning."""

from pipeline.config import load_params
from pipeline.stages.check_params import explained
from tests.conftest import REPOSITORY


def test_explains_options_where_a_variant_has_them() -> None:
    rows = {
        key: (value, meaning)
        for key, value, meaning in explained(load_params(REPOSITORY / "presets/embedded.yaml"))
    }
    assert rows["variants.moco.moco.queue"] == ("128", "negatives kept (MoCo v2: 65,536)")
    assert rows["variants.moco.moco.temperature"] == ("0.2", "MoCo v2: 0.2")
    assert {key for key in rows if key.startswith("variants.view.")} == {
        "variants.view.losses",
        "variants.view.linear",
    }
    assert rows["model.init_checkpoint"][0] == "None"
    assert rows["second_stage.variants"] == ("[]", "variants that go on from them")
