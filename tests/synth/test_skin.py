import numpy as np

from mien.synth import skin


def test_the_bank_is_whole() -> None:
    bank = skin.load_bank()
    count = len(bank.maps)
    assert count >= 80
    assert len(bank.trust) == len(bank.tone) == len(bank.male) == count
    assert bank.male.any()
    assert not bank.male.all()
    assert bank.old.any()
    log, low, trust, middle = (m.astype(np.float32) for m in bank.ratio(0))
    assert log.shape == low.shape == (*trust.shape, 3)
    assert low.std() < log.std()
    np.testing.assert_array_equal(middle, np.median(low[trust > 0.5], 0))
    assert 0 <= trust.min() < trust.max() <= 1


def test_srgb_goes_both_ways() -> None:
    code = np.linspace(0, 1, 256)
    np.testing.assert_allclose(skin.to_srgb(skin.to_linear(code)), code, atol=1e-6)


def test_a_skin_has_the_tone_it_was_asked_for() -> None:
    for seed in range(4):
        tone = skin.sample_tone(np.random.default_rng(seed))
        skins = [
            skin.sample_skin(np.random.default_rng(seed), tone, True, False, False)
            for _ in range(2)
        ]
        np.testing.assert_array_equal(skins[0], skins[1])
        sure = skins[0][..., 3] > 200
        middle = np.median(skin.to_linear(skins[0][sure][:, :3] / 255.0), axis=0)
        np.testing.assert_allclose(middle, tone, rtol=0.35, atol=0.02)


def _hues(tone: np.ndarray, seed: int) -> tuple[float, float]:
    """Spread of log red against green and of blue against both, where a skin's map is sure."""
    code = skin.sample_skin(np.random.default_rng(seed), tone, False, False, False)
    sure = code[..., 3] > 200
    red, green, blue = np.log(skin.to_linear(code[sure][:, :3] / 255.0) + skin.OFFSET).T
    return float((red - green).std()), float((blue - (red + green) / 2).std())


def test_skin_varies_in_blood_and_dark_skin_less() -> None:
    fair, dark = np.array([0.54, 0.355, 0.3]), np.array([0.06, 0.032, 0.025])
    for seed in range(3):
        (red, blue), (dark_red, dark_blue) = _hues(fair, seed), _hues(dark, seed)
        assert red > 0.05
        assert dark_red < red
        assert max(blue, dark_blue) < 0.12  # skins are neither yellow nor blue in places


def test_highlights_of_photographs_do_not_come_along() -> None:
    tone = np.array([0.34, 0.2, 0.157])
    for seed in range(3):
        code = skin.sample_skin(np.random.default_rng(seed), tone, True, False, False)
        sure = code[..., 3] > 200
        linear = skin.to_linear(code[sure][:, 1] / 255.0)
        assert np.quantile(linear, 0.999) < 1.6 * tone[1]
